"""A real file system in a file, mounted through a loop device, whose power can be cut.

The cut is ext4's shutdown without a flush of its journal: what was not synced never comes to the image, every later
access fails, and the next mount replays the journal as after a power failure.
"""
import fcntl
import os
import struct
import subprocess
import time

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


class LoopImage:
    """An ext4 image of `mib` MiB at `directory`/data."""

    def __init__(self, directory, mib, name="data"):
        self.file = os.path.join(directory, f"{name}.img")
        self.path = os.path.join(directory, name)
        os.makedirs(self.path, exist_ok=True)
        with open(self.file, "wb") as image:
            image.truncate(mib << 20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.file)
        self.is_mounted = False

    def mount(self):
        run("mount", "-o", "loop", self.file, self.path)
        self.is_mounted = True
        lost_and_found = os.path.join(self.path, "lost+found")
        if os.path.isdir(lost_and_found):
            os.rmdir(lost_and_found)

    def cut(self):
        """Nothing reaches the image from here on."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def unmount(self):
        if not self.is_mounted:
            return
        for _ in range(50):
            if subprocess.run(["umount", self.path], check=False, capture_output=True).returncode == 0:
                self.is_mounted = False
                return self.wait_released()
            time.sleep(0.1)
        raise SystemExit(f"{self.path} cannot be unmounted")

    def wait_released(self):
        """Returns once no mount holds the image: a mount before that would be the same file system, still shut down."""
        for _ in range(300):
            if not subprocess.run(["losetup", "-j", self.file], check=True, capture_output=True).stdout:
                return
            time.sleep(0.1)
        raise SystemExit(f"{self.file} is still mounted in another mount namespace")

    def remove(self):
        self.unmount()
        os.remove(self.file)


def run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
