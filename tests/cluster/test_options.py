"""Options of a cluster: what they mean, what is derived from them, and what is refused and how."""

import itertools
import shlex
import sys

import pytest

from labkit.cluster.option_words import parse_start
from labkit.cluster.options import KINDS, ClusterOptions
from labkit.cluster.schedulers.scheduler import quoted
from labkit.errors import UsageError


def options_of(line, folder):
    return parse_start(shlex.split(line), folder).options


def refused(line, folder, *parts):
    """The message, which has to hold these parts."""
    with pytest.raises(UsageError) as error:
        options_of(line, folder)
    for part in parts:
        assert part in str(error.value)
    return str(error.value)


@pytest.fixture
def no_profiles(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


def test_all_words(no_profiles):
    request = parse_start(
        shlex.split(
            "slurm -n 8 --nodes 2 --ranks-per-node 4 --time 30 --partition P --account A --gpus 1 --memory 4G "
            "--module gcc/12 --module openmpi/4.1 --environment /opt/my\\ env --directive '-C ib' "
            "--directive='#SBATCH --exclusive' --mpi pmix --name lesson --folder /scratch/me --address 10.0.0.1 "
            "--keep --dry-run --python /usr/bin/python3"
        ),
        no_profiles,
    )
    assert request.dry_run and request.profile is None
    assert request.options == ClusterOptions(
        kind="slurm",
        num_ranks=8,
        num_nodes=2,
        ranks_per_node=4,
        time="00:30:00",
        partition="P",
        account="A",
        gpus=1,
        memory="4G",
        modules=("gcc/12", "openmpi/4.1"),
        environment="/opt/my env",
        directives=("-C ib", "--exclusive"),
        mpi="pmix",
        name="lesson",
        folder="/scratch/me",
        address="10.0.0.1",
        keep=True,
        python="/usr/bin/python3",
    )


def test_defaults(no_profiles):
    options = options_of("", no_profiles)
    assert (options.kind, options.num_ranks, options.name, options.mpi) == ("local", 4, "local", "mpiexec")
    assert (options.python, options.keep) == (sys.executable, False)
    options = options_of("slurm", no_profiles)
    assert (options.num_nodes, options.time, options.mpi, options.ranks_by_node()) == (None, None, "pmi2", None)
    # an environment brings its own python
    assert options_of("slurm --environment '. /opt/venv/bin/activate'", no_profiles).python == "python"


def test_a_word_of_help_lists_the_options(no_profiles):
    assert "--ranks-per-node" in refused("slurm --help", no_profiles, "Usage: %cluster start")
    assert "--foo" in refused("slurm --foo 1", no_profiles, "Usage:")


@pytest.mark.parametrize("nodes,each", list(itertools.product((None, 1, 2, 3), (None, 1, 3, 4))))
def test_shapes(nodes, each):
    """Ranks, nodes and ranks per node: what is accepted fits, and what does not fit is refused."""
    for ranks in (None, *range(1, 14)):
        fits = (
            ranks is None
            or nodes is None
            or (nodes <= ranks and (each is None or any(sum(shape) == ranks for shape in full_shapes(nodes, each))))
        )
        given = {"num_ranks": ranks, "num_nodes": nodes, "ranks_per_node": each}
        if not fits:
            with pytest.raises(UsageError, match=f"-n is {ranks}"):
                ClusterOptions("slurm", **given)
            continue
        options = ClusterOptions("slurm", **given)
        assert options.num_ranks == ranks or ranks is None
        shape = options.ranks_by_node()
        if nodes is None and each is None:
            assert shape is None
            continue
        assert sum(shape) == options.num_ranks and len(shape) == options.num_nodes and min(shape) >= 1
        assert nodes is None or len(shape) == nodes
        assert max(shape) == min(each, options.num_ranks) if each else max(shape) - min(shape) <= 1


def full_shapes(nodes, each):
    """All nodes full but the last, which has at least one rank."""
    return [[each] * (nodes - 1) + [last] for last in range(1, each + 1)]


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("1", 60),
        ("30", 1800),
        ("90:00", 5400),
        ("0:30", 30),
        ("1:02:03", 3723),
        ("48:00:00", 172800),
        ("1-0", 86400),
        ("1-2:30", 95400),
        ("2-03:04:05", 183845),
    ],
)
def test_times(text, seconds):
    options = ClusterOptions("slurm", time=text)
    assert options.time_seconds == seconds
    hours, minutes, rest = options.time.split(":")
    assert int(hours) * 3600 + int(minutes) * 60 + int(rest) == seconds
    assert ClusterOptions("slurm", time=options.time) == options


@pytest.mark.parametrize(
    "text",
    ["", "0", "00:00:00", "1h", "-5", "1:2:3:4", "1:60", "1:75:00", "1-24:00:00", "1-2-3", "1.5", "\u0663", "30\n--x"],
)
def test_wrong_times(text):
    with pytest.raises(UsageError, match="--time"):
        ClusterOptions("slurm", time=text)


@pytest.mark.parametrize(
    "line,parts",
    [
        ("slurm -n 8 --nodes 2 --ranks-per-node 3", ("2 x --ranks-per-node 3 = 6", "-n is 8", "Write -n 6")),
        ("slurm -n 2 --nodes 3", ("--nodes 3", "-n is 2", "-n 3 or more")),
        ("slurm -n 0", ("-n 0", "at least 1")),
        ("slurm -n four", ("'four' is not a whole number", "Usage")),
        ("slurm -n 4.0", ("not a whole number",)),
        ("slurm --memory 4", ("--memory '4'", "unit", "4G")),
        ("slurm --memory 0G", ("--memory '0G'",)),
        ("slurm --memory 4P", ("K, M, G or T",)),
        ("slurm --mpi openmpi", ("--mpi openmpi", "pmi2, pmix")),
        ("pbs --mpi pmi2", ("--mpi pmi2", "mpiexec")),
        ("slurm --hosts a,b", ("--hosts a b", "kind slurm", "ssh")),
        ("ssh", ("needs hosts", "--hosts node1,node2")),
        ("ssh --hosts a,a", ("a is named twice", "--ranks-per-node")),
        ("ssh --hosts a,b --nodes 3", ("--nodes 3", "2 hosts")),
        ("ssh --hosts a --time 30", ("--time 30", "kind ssh", "slurm")),
        ("ssh --hosts=-oProxyCommand=x", ("--hosts", "name or user@name")),
        ("local --partition P", ("--partition P", "kind local")),
        ("local --nodes 2", ("--nodes 2", "kind local")),
        ("slurm --address 0.0.0.0", ("--address 0.0.0.0", "not on all networks")),
        ("slurm --address front", ("--address 'front'", "not an IP address")),
        ("slurm --name '1st'", ("--name '1st'", "the first a letter")),
        ("nowhere", ("'nowhere' is neither a kind", "slurm, pbs, lsf, sge", "There are no profiles yet")),
    ],
)
def test_refusals_say_rule_values_and_next_step(line, parts, no_profiles):
    refused(line, no_profiles, *parts)


INJECTIONS = [
    "a\n#SBATCH --uid=0",
    "a\nrm -rf ~",
    "a\rb",
    "a\x1b[2Jb",
    "a b",
    "$(id)",
    "`id`",
    "a;id",
    "a&&id",
    "a|b",
    "a>b",
    "'a",
    'a"',
    "a\\",
    "-x",
    "--wrap=id",
    "#",
    "a\u2028b",
    "ä",
    "",
    "../a",
]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("field", ["partition", "account", "modules", "name", "hosts"])
def test_names_carry_no_shell(field, text):
    kind = "ssh" if field == "hosts" else "slurm"
    several = field in ("modules", "hosts")
    if field == "name" and text == "":
        assert ClusterOptions(kind, name="").name == "slurm"
        return
    with pytest.raises(UsageError, match="--"):
        ClusterOptions(kind, **{field: (text,) if several else text})


@pytest.mark.parametrize("field", ["environment", "directives", "folder", "python"])
@pytest.mark.parametrize("text", ["--a\n--b", "--a\0", "--a\x85--b", "--a\u2029--b", "   "])
def test_lines_are_single_lines(field, text):
    with pytest.raises(UsageError, match=f"--{'directive' if field == 'directives' else field}"):
        ClusterOptions("slurm", **{field: (text,) if field == "directives" else text})


def test_directives_are_options():
    with pytest.raises(UsageError, match="begins with a dash"):
        ClusterOptions("slurm", directives=("rm -rf x",))
    assert ClusterOptions("sge", directives=("#$ -pe mpi 4",)).directives == ("-pe mpi 4",)


@pytest.mark.parametrize(
    "values",
    [
        {"num_ranks": "8"},
        {"num_ranks": True},
        {"gpus": -1},
        {"gpus": 1.5},
        {"partition": 3},
        {"modules": "gcc"},
        {"keep": "yes"},
        {"directives": (3,)},
        {"time": True},
    ],
)
def test_wrong_types(values):
    value = str(next(iter(values.values()))).strip("(),")
    with pytest.raises(UsageError, match=f"{value}.* (needed|true or false)"):
        ClusterOptions("slurm", **values)


def test_hosts_make_the_shape(no_profiles):
    options = options_of("ssh --hosts n1,me@n2 --ranks-per-node 3", no_profiles)
    assert (options.hosts, options.num_nodes, options.num_ranks) == (("n1", "me@n2"), 2, 6)
    assert options_of("ssh --hosts n1,n2,n3 -n 7", no_profiles).ranks_by_node() == [3, 2, 2]


def test_changed_options_are_checked_again():
    options = ClusterOptions("slurm", num_ranks=4)
    assert options.changed(num_ranks=2).num_ranks == 2
    with pytest.raises(UsageError):
        options.changed(num_nodes=5)


def test_every_kind_can_be_made():
    for kind in KINDS:
        options = ClusterOptions(kind, hosts=("a",) if kind == "ssh" else ())
        assert options.kind == options.name == kind
    with pytest.raises(UsageError, match="Choose one of: local"):
        ClusterOptions("cray")


@pytest.mark.parametrize("text", ["plain", "a b", "a'b", 'a"b', "$HOME `id` ; #x", "ä b", "*"])
def test_quoted_texts_are_read_back_by_a_shell_splitter(text):
    # shlex with whitespace splitting and no expansion has the rules that schedulers have
    assert shlex.split(quoted(text, "--folder")) == [text]


def test_both_quotes_are_refused():
    with pytest.raises(UsageError, match="both kinds of quotes"):
        quoted("a'b\"c", "--folder")
    with pytest.raises(UsageError, match=": cannot be written"):
        quoted("a:b", "--folder", forbidden=":")
