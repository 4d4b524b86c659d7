"""One broker of one node, Cauce or Apache Kafka 4.3.1, in a directory of its own: started, looked at, ended by its pid."""
import json, os, shutil, signal, socket, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICKS = os.sysconf("SC_CLK_TCK")
HEAP = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent"]
# Kafka with settings for a machine of two processors, as in scripts/bench-compare.
TUNED_HEAP = ["-Xms3g", "-Xmx3g", "-XX:+UseParallelGC", "-XX:+AlwaysPreTouch"]
TUNED = {"num.network.threads": 2, "num.io.threads": 2, "socket.send.buffer.bytes": 1048576,
         "socket.receive.buffer.bytes": 1048576}
# How long a start may take; Kafka with many partitions takes minutes.
PATIENCE = 300


class Ended(Exception):
    """The broker's process is not there any more, or a load on it was not clean."""


def node_binary():
    """The node that CAUCE_BIN names, or a release build."""
    cauce = os.environ.get("CAUCE_BIN")
    if not cauce:
        subprocess.check_call(["cargo", "build", "--release", "--locked", "-p", "broker", "--bin", "cauce"], cwd=TOP)
        cauce = os.path.join(TOP, "target", "release", "cauce")
    return cauce


def kafka_libs():
    return subprocess.check_output([TOP + "/scripts/oracle", "libs"], text=True).strip()


class Broker:
    """`name` is cauce, kafka or kafka-tuned. Settings are Kafka's keys, for either broker. `cgroup` is a `MemoryLimit`."""

    def __init__(self, name, work, port, cauce=None, libs=None, settings=None, data=None, cgroup=None):
        self.name, self.work, self.port, self.cauce, self.libs = name, work, port, cauce, libs
        self.settings, self.cgroup = dict(settings or {}), cgroup
        self.data = data or [os.path.join(work, "data")]
        self.address, self.process = f"127.0.0.1:{port}", None

    @property
    def is_cauce(self):
        return self.name == "cauce"

    @property
    def metrics(self):
        """Where a node tells its metrics, if it was asked to (`metrics.listener` in its settings)."""
        return self.settings.get("metrics.listener") if self.is_cauce else None

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return os.path.join(self.work, self.name + ".log")

    def start(self):
        """On empty directories, until it accepts a connection."""
        self.clear()
        for directory in self.data:
            os.makedirs(directory)
        self.words = self.command()
        open(self.log, "w").close()
        return self.start_again()

    def start_again(self):
        """On what it left. Gives the moment at which the process was started."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                sys.exit(f"error: {self.address} is taken")
        words = self.words
        if self.cgroup:
            words = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.cgroup.path, *words]
        with open(self.log, "a") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while True:
            if self.process.poll() is not None:
                raise Ended(f"{self.name} ended with {self.process.returncode}, see {self.log}")
            if time.monotonic() > began + PATIENCE:
                raise Ended(f"{self.name} does not listen, see {self.log}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return began
            except OSError:
                # Kafka needs seconds; asking more often would take them from it.
                time.sleep(0.001 if self.is_cauce else 0.05)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        self.kill()
        self.clear()

    def clear(self):
        for directory in self.data:
            shutil.rmtree(directory, ignore_errors=True)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def command(self):
        logs = ",".join(self.data)
        if self.is_cauce:
            pairs = {"log.dirs": logs, "listeners": f"PLAINTEXT://{self.address}", "metrics.listener": "none", **self.settings}
            return [self.cauce] + [w for key, value in pairs.items() for w in ("--override", f"{key}={value}")]
        controller = f"127.0.0.1:{self.port + 1}"
        is_tuned = self.name == "kafka-tuned"
        pairs = {"process.roles": "broker,controller", "node.id": 1, "controller.listener.names": "CONTROLLER",
                 "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}", "log.dirs": logs,
                 "controller.quorum.bootstrap.servers": controller, "offsets.topic.replication.factor": 1,
                 "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
                 **(TUNED if is_tuned else {}), **self.settings}
        pairs.pop("metrics.listener", None)
        properties = os.path.join(self.work, self.name + ".properties")
        with open(properties, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in pairs.items())
        logging = os.path.join(self.work, "log4j2.properties")
        with open(logging, "w") as file:
            file.write("status=error\nappender.out.type=Console\nappender.out.name=OUT\nappender.out.layout.type=PatternLayout\n"
                       "appender.out.layout.pattern=[%d] %p %m (%c)%n\nrootLogger.level=warn\nrootLogger.appenderRef.out.ref=OUT\n")
        java = ["java", f"-Dlog4j2.configurationFile={logging}", "-cp", self.libs + "/*"]
        storage = java + ["kafka.tools.StorageTool"]
        quiet = {"stderr": subprocess.DEVNULL}
        cluster = subprocess.check_output(storage + ["random-uuid"], text=True, **quiet).strip()
        subprocess.check_call(storage + ["format", "--standalone", "-t", cluster, "-c", properties],
                              stdout=subprocess.DEVNULL, **quiet)
        return java[:1] + (TUNED_HEAP if is_tuned else HEAP) + java[1:] + ["kafka.Kafka", properties]

    def look(self):
        """What the process has used up to now, from /proc: processor seconds, bytes written, resident memory."""
        try:
            return look(self.pid)
        except (OSError, AttributeError) as cause:
            raise Ended(f"{self.name} is gone: {cause}, see {self.log}") from None

    def load(self, *words, seconds=None, warm_up=None, nice=0, pid=True):
        """`cauce bench load` in the background; `report` waits for it."""
        path = os.path.join(self.work, f"report-{time.monotonic_ns()}.json")
        command = ["nice", "-n", str(nice)] if nice else []
        command += [self.cauce or node_binary(), "bench", "load", "--bootstrap-server", self.address, "--json", path,
                    *(str(word) for word in words)]
        command += ["--pid", str(self.pid)] if pid else []
        command += ["--seconds", str(seconds)] if seconds is not None else []
        command += ["--warm-up", str(warm_up)] if warm_up is not None else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        process.report_path = path
        return process

    def report(self, process, may_fail=False):
        """The report of a load, or none where it has none and may fail. `Ended` where a load that may not fail is not clean."""
        text, _ = process.communicate()
        if process.returncode != 0 and not may_fail:
            found = (text.partition("\nfaults\n")[2] or text[-500:]).split()
            raise Ended(f"a load on {self.name}: {' '.join(process.args)}: {' '.join(found)}")
        if not os.path.exists(process.report_path):
            return None
        with open(process.report_path) as file:
            found = json.load(file)
        os.remove(process.report_path)
        return found


def look(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    found = {"at": time.monotonic(), "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found["resident" if name == "VmRSS" else "peak"] = int(value.split()[0]) * 1024
    with open(f"/proc/{pid}/io") as file:
        found["written"] = next(int(line.split()[1]) for line in file if line.startswith("write_bytes:"))
    return found


def end(process, patience=5):
    """Ends a process that the script started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
