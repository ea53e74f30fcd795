"""Two namespaces, the relay between them, the server in one: `with Link(script, seed) as link: link.client("echo", …)`."""
import itertools, os, subprocess, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILT = os.environ.get("TWIN_BUILT", f"{HERE}/../../target/twin")
SYSCTL = {
    "net.ipv4.tcp_no_metrics_save": "1",  # each connection starts anew, as in the simulation
    "net.ipv6.conf.all.disable_ipv6": "1",
}
FIRST = ["chrt", "-f", "50"]  # what is measured is the network, not who gets the processor


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Link:
    """A link whose packets meet the fates that a script and a seed have for those between `c1` and `server`."""
    numbers = itertools.count()

    def __init__(self, script, seed=1, packets=200_000, cc="cubic", size=2_000_000, grain=None):
        self.grain = [] if grain is None else ["--grain", str(grain)]
        self.id = f"tw{os.getpid()}x{next(Link.numbers)}"
        self.a, self.b = self.id + "s", self.id + "c"
        self.script, self.seed, self.packets, self.cc, self.size = script, seed, packets, cc, size
        self.children, self.report = [], ""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        try:
            path = f"{self.folder.name}/script.toml"
            with open(path, "w") as file:
                file.write(self.script)
            files = []
            for ends in (("server", "c1"), ("c1", "server")):
                files.append(f"{self.folder.name}/{ends[0]}")
                sh(f"{BUILT}/peer", "fates", path, str(self.seed), *ends, str(self.packets), files[-1])
            for name in (self.a, self.b):
                sh("ip", "netns", "add", name)
                for key, value in SYSCTL.items():
                    self.inside(name, "sysctl", "-qw", f"{key}={value}")
                self.inside(name, "ip", "link", "set", "lo", "up")
            self.relay = self.spawn([f"{BUILT}/relay", self.a, self.b, *files, *self.grain], stdin=subprocess.PIPE)
            assert self.relay.stdout.readline() == "ready\n"
            for name, own, other in ((self.a, "10.71.0.1", "10.72.0.0/24"), (self.b, "10.72.0.1", "10.71.0.0/24")):
                self.inside(name, "ip", "addr", "add", own + "/32", "dev", "tw0")
                self.inside(name, "ip", "link", "set", "tw0", "up", "mtu", "1500", "txqueuelen", "20000")
                self.inside(name, "ip", "route", "add", other, "dev", "tw0", "src", own)
            self.server = self.spawn(self.peer(self.a, "serve", "--listen", "10.71.0.1", "--bytes", str(self.size)))
            assert self.server.stdout.readline() == "ready\n"
        except BaseException:
            self.__exit__()
            raise
        return self

    def spawn(self, command, **more):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
        self.children.append(child)
        return child

    @staticmethod
    def at(name, *command):
        return ["ip", "netns", "exec", name, *command]

    def inside(self, name, *command):
        sh(*self.at(name, *command))

    def cut(self, ms):
        """Cuts both ways and returns begin and end, in seconds of CLOCK_MONOTONIC."""
        self.relay.stdin.write(f"cut {ms}\n")
        self.relay.stdin.flush()
        _, begin, end = self.relay.stdout.readline().split()
        return float(begin), float(end)

    def peer(self, name, *command):
        return self.at(name, *FIRST, "env", f"LD_PRELOAD={BUILT}/cc.so", f"TWIN_CC={self.cc}", f"{BUILT}/peer", *command)

    def start(self, what, **options):
        """Starts clients; their lines come from `lines`."""
        port = 8081 if what == "bulk" else 8080
        options = {"to": f"10.71.0.1:{port}", **options}
        flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        return self.spawn(self.peer(self.b, what, *flags))

    def lines(self, child, wait=150):
        """The words of each line that the clients say."""
        try:
            text, _ = child.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        finally:
            self.children.remove(child)
        return [line.split() for line in text.splitlines()]

    def client(self, what, wait=150, **options):
        return self.lines(self.start(what, **options), wait)

    def __exit__(self, *_):
        relay = getattr(self, "relay", None)
        for child in self.children:
            if child is not relay and child.poll() is None:
                child.terminate()
                child.wait()
        if relay:
            self.report = relay.communicate()[0].strip()
        for name in (self.a, self.b):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        self.folder.cleanup()
