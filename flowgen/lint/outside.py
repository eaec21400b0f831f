"""What a body must not call: the functions of the outside world, by their dotted names, and what to do instead."""

from __future__ import annotations

_CLOCK = """
time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns time.process_time
time.process_time_ns time.thread_time time.localtime time.gmtime time.ctime time.asctime time.strftime
datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today
arrow.now arrow.utcnow pendulum.now pendulum.today pandas.Timestamp.now django.utils.timezone.now
django.utils.timezone.localtime trio.current_time anyio.current_time
""".split()

_GIVEN_A_TIME = {"time.localtime": 1, "time.gmtime": 1, "time.ctime": 1, "time.asctime": 1, "time.strftime": 2}
"""With so many arguments they only compute."""

_DICE = """
uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 os.urandom os.getrandom builtins.hash builtins.id
""".split()
_SEEDED = ("random.Random", "numpy.random.default_rng", "numpy.random.RandomState")
_DICE_MODULES = ("random", "secrets", "numpy.random")

_WORLD = """
builtins.open builtins.input builtins.print builtins.breakpoint time.sleep io.open codecs.open
sys.stdout.write sys.stderr.write sys.stdin.read sys.stdin.readline sys.exit
pathlib.Path.cwd pathlib.Path.home asyncio.run trio.run anyio.run trio.from_thread.run
urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPConnection http.client.HTTPSConnection
""".split()
_WORLD_MODULES = """
os subprocess socket requests httpx aiohttp urllib3 sqlite3 apsw psycopg psycopg2 pymysql pymongo redis boto3 botocore
smtplib imaplib ftplib shutil tempfile threading multiprocessing concurrent.futures logging glob getpass platform select
ssl paramiko grpc webbrowser fileinput
""".split()
_VALUES = "os.environ os.environb sys.argv sys.stdin sys.stdout sys.stderr".split()
_PURE = """
os.path.join os.path.basename os.path.dirname os.path.split os.path.splitext os.path.normpath os.path.normcase
os.path.isabs os.path.commonpath os.path.commonprefix os.fspath os.fsencode os.fsdecode
logging.getLogger logging.getLevelName secrets.compare_digest
""".split()
_OF_PATHS = """
read_text write_text read_bytes write_bytes open unlink mkdir rmdir touch rename replace exists is_file is_dir iterdir
glob rglob stat lstat chmod symlink_to resolve absolute expanduser samefile hardlink_to
""".split()
_OF_ANYTHING = ("read_text", "write_text", "read_bytes", "write_bytes")
"""Methods that nothing but paths has."""

INSTEAD = {
    "clock": "take ctx.now, or do it in a step",
    "randomness": "take ctx.random or ctx.uuid(), or do it in a step",
    "io": "do it in a step",
}
_BETTER = {
    "time.sleep": "yield Sleep(…)",
    "builtins.print": "take ctx.logger, which is silent while a run is replayed",
    "builtins.hash": "take a digest, such as zlib.crc32: hashes of texts differ between processes",
    "builtins.id": "take what makes the object known: addresses differ between processes",
    "os.environ": "read it where the module is imported or in a step, or pass it in the event",
    "os.getenv": "read it where the module is imported or in a step, or pass it in the event",
}


def forbidden(name: str, arguments: int) -> tuple[str, str] | None:
    """The code and the message for a call of the function with this dotted name; None if it may be called."""
    code = _code(name, arguments)
    return None if code is None else (code, _message(name, f"{_plain(name)}()", code))


def forbidden_value(name: str) -> tuple[str, str] | None:
    """The same for something that is only looked at."""
    return ("io", _message(name, _plain(name), "io")) if name in _VALUES else None


def forbidden_method(method: str) -> tuple[str, str] | None:
    """The same for a method of something unknown."""
    return (
        ("io", f".{method}() in a body is done again at each replay: {INSTEAD['io']}")
        if method in _OF_ANYTHING
        else None
    )


def _code(name: str, arguments: int) -> str | None:
    if name in _CLOCK:
        return None if arguments >= _GIVEN_A_TIME.get(name, 1 << 30) else "clock"
    if name in _SEEDED and arguments:
        return None
    if name in _PURE:
        return None
    if name in _DICE or (name.startswith(tuple(f"{module}." for module in _DICE_MODULES)) and "()" not in name):
        return "randomness"
    if name.startswith("logging.getLogger().") or name in _WORLD:
        return "io"
    if name.startswith("pathlib.Path()."):
        return "io" if name.rpartition(".")[2] in _OF_PATHS else None
    if name.startswith(tuple(f"{value}." for value in _VALUES)):
        return "io"
    of_module = name.startswith(tuple(f"{module}." for module in _WORLD_MODULES))
    return "io" if of_module and not name.rpartition(".")[2][:1].isupper() else None


def _message(name: str, shown: str, code: str) -> str:
    what = {
        "clock": f"{shown} gives another time at each replay",
        "randomness": f"{shown} gives something else at each replay",
        "io": f"{shown} in a body is done again at each replay",
    }[code]
    return f"{what}: {_BETTER.get(name, INSTEAD[code])}"


def _plain(name: str) -> str:
    return name.removeprefix("builtins.")
