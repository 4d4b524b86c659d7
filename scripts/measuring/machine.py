"""The machine beneath a measurement: whether others use it, memory that was touched, a limit on memory, a disk that stalls."""
import os, resource, subprocess, sys, tempfile, time
from . import broker

# More than this share of all processors, and a turn is marked.
BUSY_PERCENT = 5.0
PROBE_BYTES = 256 << 20
CHUNK = 1 << 16
KERNEL_THREAD = 0x00200000


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
        return file.read().strip()


def memory_info():
    with open("/proc/meminfo") as file:
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}


class Others:
    """How much of the processors others use: all but this script, what it started, and the kernel's own threads (which
    write out what a broker appended)."""

    def __init__(self):
        self.began, self.kernel = time.monotonic(), None
        self.before = self.foreign()

    def foreign(self):
        with open("/proc/stat") as file:
            words = [int(word) for word in file.readline().split()[1:]]
        # User, nice, system, and interrupts, which a process is charged with as well.
        busy = sum(words[:3]) + sum(words[5:7])
        parents, used, kernel = {}, {}, {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            # With what its ended children used.
            ticks = sum(int(field) for field in fields[11:15])
            if int(fields[6]) & KERNEL_THREAD:
                kernel[name, fields[19]] = int(fields[11]) + int(fields[12])
            parents[int(name)], used[int(name)] = int(fields[1]), ticks
        own = sum(ticks for pid, ticks in used.items() if self.is_ours(pid, parents))
        # Since the beginning, thread by thread: one that has ended takes with it what it had used before.
        self.kernel = self.kernel or kernel
        new = sum(max(0, ticks - self.kernel.get(thread, 0)) for thread, ticks in kernel.items())
        return (busy - own - new) / broker.TICKS

    @staticmethod
    def is_ours(pid, parents):
        while pid > 1:
            if pid == os.getpid():
                return True
            pid = parents.get(pid, 0)
        return False

    def percent(self):
        share = (self.foreign() - self.before) / max(1e-9, (time.monotonic() - self.began) * os.cpu_count())
        return max(0.0, 100 * share)


def refuse_busy(allowed, seconds=3):
    """Watches the machine before anything is measured."""
    others = Others()
    time.sleep(seconds)
    percent = others.percent()
    if percent > BUSY_PERCENT and not allowed:
        sys.exit(f"error: others use {percent:.1f} % of the processors (--busy goes on all the same)")
    return percent


def touch(directory, gib):
    """Makes the host back so much of this machine's memory, by reading a file without contents: a virtual machine's first
    touch of a page costs more than anything a broker does with it. Never more than is free."""
    free = memory_info()["MemFree"] - (1 << 30)
    left = min(int(gib * (1 << 30)), free)
    buffer = [memoryview(bytearray(1 << 20))]
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(max(0, left))
        at = 0
        while at < left:
            at += os.preadv(file.fileno(), buffer, at)


def first_touch(directory):
    """Processor seconds for 10^9 bytes that are appended to a new file, and that are written over pages in memory. The
    difference is what new pages cost now."""
    found, chunk = [], b"\1" * CHUNK
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(2):
            began = time.thread_time()
            for at in range(0, PROBE_BYTES, CHUNK):
                os.pwrite(file.fileno(), chunk, at)
            found.append((time.thread_time() - began) / (PROBE_BYTES / 1e9))
    return {"new": found[0], "resident": found[1], "extra": max(0.0, found[0] - found[1])}


class MemoryLimit:
    """A group of processes with a limit on their memory, page cache included: a child of the group that the script is in
    (cgroup v2, or the memory controller of v1), so that no limit above it is left."""

    def __init__(self, name, limit_bytes):
        self.path = None
        with open("/proc/self/cgroup") as file:
            groups = [line.strip().split(":", 2) for line in file]
        for _, controllers, path in groups:
            if "memory" in controllers.split(","):
                self.make(f"/sys/fs/cgroup/memory{path}/{name}", "memory.limit_in_bytes", limit_bytes)
            elif controllers == "" and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
                self.make(f"/sys/fs/cgroup{path}/{name}", "memory.max", limit_bytes)
        if self.path is None:
            raise OSError("there is no memory controller that this user may use")

    def make(self, path, key, limit_bytes):
        os.makedirs(path, exist_ok=True)
        self.path, self.key = path, key
        try:
            self.change(limit_bytes)
        except OSError:
            os.rmdir(path)
            raise

    def change(self, limit_bytes):
        """Another limit; what is above it is reclaimed at once."""
        with open(os.path.join(self.path, self.key), "w") as file:
            file.write(str(limit_bytes))

    def forget_peak(self):
        """Begins anew, where the kernel lets it: with v1."""
        try:
            with open(os.path.join(self.path, "memory.max_usage_in_bytes"), "w") as file:
                file.write("0")
        except OSError:
            pass

    def peak(self):
        for key in ("memory.max_usage_in_bytes", "memory.peak"):
            try:
                with open(os.path.join(self.path, key)) as file:
                    return int(file.read())
            except OSError:
                pass
        return None

    def remove(self):
        """When nothing runs in it any more."""
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.05)


class StallingDisk:
    """An ext4 file system in a file, on a loop device, that can be made to stall: while it is frozen (`fsfreeze`) every write
    and every sync waits in the kernel, and reads go on. That is harsher than a disk that stalls beneath the page cache, which
    still takes appends until the limit on dirty pages."""

    def __init__(self, directory, mib):
        self.image, self.mount, self.device, self.is_frozen = directory + ".img", directory, None, False
        os.makedirs(directory, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        try:
            subprocess.check_call(["mkfs.ext4", "-q", "-F", self.image])
            self.device = subprocess.check_output(["losetup", "-f", "--show", self.image], text=True).strip()
            subprocess.check_call(["mount", self.device, self.mount])
        except (OSError, subprocess.CalledProcessError):
            self.remove()
            raise

    def stall(self, seconds):
        self.is_frozen = True
        subprocess.check_call(["fsfreeze", "-f", self.mount])
        try:
            time.sleep(seconds)
        finally:
            self.thaw()

    def thaw(self):
        if self.is_frozen:
            subprocess.call(["fsfreeze", "-u", self.mount])
            self.is_frozen = False

    def remove(self):
        self.thaw()
        for _ in range(50):
            if not os.path.ismount(self.mount) or subprocess.call(["umount", self.mount], stderr=subprocess.DEVNULL) == 0:
                break
            time.sleep(0.1)
        if self.device:
            subprocess.call(["losetup", "-d", self.device])
        if os.path.exists(self.image):
            os.remove(self.image)


def raise_open_files():
    """Every script that opens many connections has as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
