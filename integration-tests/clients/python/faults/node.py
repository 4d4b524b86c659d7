"""A node that faults are put on: the one of crash.py, behind a shim that makes faults, and free to refuse a start."""
import atexit
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time
import uuid

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from crash import Node  # noqa: E402  (its directory has to be on the path)


class FaultNode(Node):
    """Adds to the process: a shim before its C library (shim.c), and starts that may be refused."""

    def __init__(self, binary, directory, port, overrides=()):
        super().__init__(binary, directory, port, ["metrics.listener=none", *overrides])
        self.data = os.path.join(directory, "data")
        self.address = f"127.0.0.1:{port}"
        self.boot_file = os.path.join(directory, "boot_id")
        self.fsync_order = os.path.join(directory, "fsync_order")
        self.clock_file = os.path.join(directory, "clock")
        library = os.path.join(directory, "shim.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "shim.c", "-ldl"], check=True)
        self.command = ["env", f"LD_PRELOAD={library}", f"FAULTS_BOOT_ID={self.boot_file}",
                        f"FAULTS_FSYNC={self.fsync_order}", f"FAULTS_CLOCK={self.clock_file}", *self.command]
        self.reboot()
        self.set_clock(0)
        atexit.register(self.end)

    def reboot(self):
        """From its next start on the node believes that the machine was started anew: what was not synced is gone."""
        with open(self.boot_file, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")

    def fail_next_sync(self, prefix):
        """The next sync of a file whose path begins so fails, once."""
        with open(self.fsync_order + ".new", "w", encoding="utf-8") as file:
            file.write(prefix)
        os.rename(self.fsync_order + ".new", self.fsync_order)

    def sync_has_failed(self):
        return not os.path.exists(self.fsync_order)

    def set_clock(self, seconds_ahead):
        """Changes the wall clock that the node sees, while it runs too."""
        # In place: the node has the file mapped.
        with open(self.clock_file, "r+b" if os.path.exists(self.clock_file) else "wb") as file:
            file.write(struct.pack("=q", seconds_ahead))

    def end(self):
        if self.process is not None:
            super().end()

    def is_alive(self):
        return self.process.poll() is None

    def start_or_refusal(self, patience_seconds=30):
        """Starts the process: `None` once it accepts connections, else what it wrote before it ended."""
        written = self.log_size()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        began = time.monotonic()
        while time.monotonic() - began < patience_seconds:
            if not self.is_alive():
                return self.log_since(written)
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
                continue
            # Ports are open before anything is read: a refusal may still come.
            if self.wait_served(5):
                return None
        self.end()
        return self.log_since(written) + "\n(ended by the test: it neither served nor refused)"

    def wait_served(self, seconds):
        """Whether the node answered a request (ApiVersions, version 0) within this time."""
        request = b"\x00\x00\x00\x0a" + b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
                connection.sendall(request)
                return bool(connection.recv(4))
        except OSError:
            return False

    def log_size(self):
        return os.path.getsize(self.log.name)

    def wait_for_line(self, text, position, seconds):
        """Whether the node writes this within the time, counted from `position` of its log."""
        deadline = time.monotonic() + seconds
        while text not in self.log_since(position):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def log_since(self, position):
        """What the node wrote since `log_size` was asked."""
        with open(self.log.name, "rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace")
