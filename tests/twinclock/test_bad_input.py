"""Wrong input: status 2, one line that names the key or file, what was expected and found, and nothing written."""

import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

from schedules import catalogue
from topologies.files import save
from twinclock.printing.setting_docs import scenario_tables, setting_docs

ROOT = Path(__file__).parent.parent.parent

A2CID2 = {"schedule.program": '"a2cid2"'}
MEASURED = {**A2CID2, "schedule.rates": '"measured"'}
ALL_REDUCE = {"schedule.program": '"all-reduce"'}
A2CID2 = {"schedule.program": '"a2cid2"'}
DADAO = {"schedule.program": '"dadao"', "schedule.mu": "1", "schedule.smoothness": "4"}
PROBLEM = {"workload.parameters": None, "workload.problem": '"digits-mlp"'}
QUADRATIC = {"workload.parameters": None, "workload.problem": '"quadratic"'}
VARYING = {"topology.graph": '"random_geometric"'}
HALF = {"workload.dtype": '"bfloat16"'}
ADAMW = {"optimizer.name": '"adamw"'}
FABRIC = {"platform.network.kind": '"fabric"'}
NO_MEAN = {"platform.gradient.mean": None}
EMPIRICAL = {**NO_MEAN, "platform.gradient.distribution": '"empirical"'}
A100 = {"platform.device.flops": '"312 TFLOP/s"', "platform.device.memory_bandwidth": '"2 TB/s"'}
STRAGGLERS = {
    "platform.stragglers.slowdown": "4",
    "platform.stragglers.mean_normal": '"60 s"',
    "platform.stragglers.mean_slow": '"5 s"',
}


def of(program, **keys):
    """Another program, with keys that it must have; without those of the usual one."""
    told = {"schedule.gradients": None, "schedule.rate": None} | {f"schedule.{key}": each for key, each in keys.items()}
    return {**told, "schedule.program": f'"{program}"'}


STREAMING = of("streaming-diloco", steps="20", local_steps="8")


ROUNDS = {"rounds": "2", "local_steps": "2"}
STEPS = {"steps": "4"}
QSR = of("qsr", local_steps="2", alpha="0.1", **STEPS)
DILOCO = of("diloco", **ROUNDS)
PERIODS = {**STEPS, "period": "2", "first_period": "2", "second_period": "2"}
PIPELINE = {"micro_batches": "4"}

KEYS = [
    # [schedule]
    ("schedule.program", '"gosip"', "expected one of all-reduce,", "'gosip' (did you mean gossip?)"),
    ("schedule.program", "3", "expected one of all-reduce", "found 3"),
    ("schedule.program", None, "expected one of all-reduce", "found none"),
    ("schedule.program", '"nowhere.py"', "expected", "nowhere.py"),
    ("schedule.gradients", None, "expected a value, found none"),
    ("schedule.gradients", "0", "expected a number of at least 1, found 0"),
    ("schedule.gradients", "-5", "expected a number of at least 1, found -5"),
    ("schedule.gradients", "5.0", "expected a whole number, found 5.0"),
    ("schedule.gradients", "true", "expected a whole number, found true"),
    ("schedule.gradients", '"5"', "expected a whole number, found '5'"),
    ("schedule.rate", "-1", "expected a number above 0, found -1"),
    ("schedule.rate", "0", "expected a number above 0, found 0"),
    ("schedule.rate", "nan", "expected a finite number, found nan"),
    ("schedule.rate", "inf", "expected a finite number, found inf"),
    ("schedule.rate", "true", "expected a number, found true"),
    ("schedule.rate", "[1, 2]", "expected a number, found [1, 2]"),
    ("schedule.rat", "1", "unknown key (did you mean rate?); accepted: gradients, rate, pairing, gradient_clock"),
    ("schedule.pairing", '"edge_clock"', "expected 'edge-clock' or 'first-come'", "(did you mean edge-clock?)"),
    ("schedule.gradient_clock", "1", "expected 'free' or 'poisson', found 1"),
    ("schedule.events", '"none.csv"', "none.csv: expected a file, found none"),
    ("schedule.events", "3", "expected text, found 3"),
    ("schedule.mixing_clock", '"mine"', "expected 'common' or 'own', found 'mine'", A2CID2),
    ("schedule.rates", '"real"', "expected 'asked' or 'measured', found 'real'", A2CID2),
    ("schedule.trace", '"none"', "expected rates = 'measured' beside it, found 'asked'", A2CID2),
    ("schedule.trace", '"none"', "none/trace.parquet: expected the trace of a run, found none", MEASURED),
    ("schedule.counted", None, "schedule", "expected one of trace and counted beside rates = 'measured'", MEASURED),
    ("schedule.counted", "[[0, 1]]", "counted.0: expected at least 3, found [0, 1]", MEASURED),
    ("schedule.counted", "[[0, 2, 1]]", "expected rates of edges of the graph, found one of 0 and 2", MEASURED),
    ("schedule.counted", "[[0, 1, 1]]", "expected a connected graph", MEASURED),
    ("schedule.counted", "[[0, 1, -1]]", "rate of edge (0, 1): expected", MEASURED),
    ("schedule.overlap", "1", "expected true, false or 'layers', found 1", ALL_REDUCE),
    ("schedule.first_bucket", '"0 MHz"', 'in byte, such as "44.7 MB"', "found '0 MHz'", ALL_REDUCE),
    ("schedule.bucket_size", '"25 MHz"', 'in byte, such as "44.7 MB"', "found '25 MHz'", ALL_REDUCE),
    ("schedule.rate", "1", "unknown key", "accepted: gradients, overlap, bucket_size", ALL_REDUCE),
    ("schedule.accumulate", "0", "expected a number of at least 1, found 0", ALL_REDUCE),
    ("schedule.flow", '"tick"', "expected 'ticks' or 'wall'", "(did you mean ticks?)", A2CID2),
    ("schedule.flow", '"ticks"', "expected 'wall' beside gradient_clock = 'free'", "found 'ticks'", A2CID2),
    # of local steps
    ("schedule.steps", '"x"', "expected a whole number, found 'x'", of("local-sgd", local_steps="2")),
    ("schedule.local_steps", "0", "expected a number of at least 1, found 0", of("local-sgd", **STEPS)),
    ("schedule.average", '"x"', "expected 'parameters' or 'all', found 'x'", of("local-sgd", local_steps="2", **STEPS)),
    ("schedule.alpha", "0", "expected a number above 0, found 0", of("qsr", local_steps="2", **STEPS)),
    ("schedule.codec", '"int9"', "expected one of none, fp16,", "(did you mean int8?)", DILOCO),
    ("schedule.codec", '"no_such:codec"', "expected an importable factory, found 'no_such:codec'", DILOCO),
    ("schedule.codec.name", "1", "expected text, found 1", DILOCO),
    ("schedule.codec", '{ name = "top-k", fraction = 2 }', "codec.fraction: expected a number of at most 1", DILOCO),
    ("schedule.codec.fraction", "0.5", "codec.fraction: expected none for 'none'", DILOCO),
    ("schedule.codec.error_feedback", "true", "expected none for 'none', which loses nothing", DILOCO),
    ("optimizer.schedule", '"constant"', "'cosine' or 'step' for qsr, which follows the learning rate", QSR),
    ("optimizer.schedule", None, "'cosine' or 'step' for qsr, which follows the learning rate, found 'constant'", QSR),
    ("schedule.fragments", "0", "expected a number of at least 1, found 0", STREAMING),
    ("schedule.fragments", "7", "expected at most workload.layers = 6, found 7", {**STREAMING, "workload.layers": "6"}),
    ("schedule.pattern", '"random"', "expected 'strided' or 'sequential', found 'random'", STREAMING),
    ("schedule.overlap", "8", "expected less than schedule.local_steps = 8, found 8", STREAMING),
    ("schedule.mixing", "1.5", "expected a number of at most 1, found 1.5", STREAMING),
    ("schedule.rounds", "0", "expected a number of at least 1, found 0", of("diloco", local_steps="2")),
    ("schedule.outer_learning_rate", "-1", "expected a number of at least 0, found -1", of("diloco", **ROUNDS)),
    ("schedule.outer_momentum", "1", "expected a number below 1, found 1", of("diloco", **ROUNDS)),
    ("schedule.delayed", "1", "expected true or false, found 1", of("eager-diloco", **ROUNDS)),
    ("schedule.penalty", "2", "expected a number of at most 1, found 2", of("co2", **ROUNDS)),
    ("schedule.clip", "0", "expected a number above 0, found 0", of("co2", **ROUNDS)),
    ("schedule.momentum", "1", "expected a number below 1, found 1", of("slowmo", **ROUNDS)),
    ("schedule.slow_learning_rate", "0", "expected a number above 0, found 0", of("slowmo", **ROUNDS)),
    ("schedule.probability", "0", "expected a number above 0, found 0", of("proxskip", **STEPS)),
    ("schedule.period", "0", "expected a number of at least 1, found 0", of("des-loc", **PERIODS)),
    ("schedule.first_period", "0", "expected a number of at least 1, found 0", of("des-loc", **PERIODS)),
    ("schedule.second_period", "0", "expected a number of at least 1, found 0", of("des-loc", **PERIODS)),
    # of pipelines
    ("schedule.micro_batches", "0", "expected a number of at least 1, found 0", of("gpipe")),
    ("schedule.iterations", "0", "expected a number of at least 1, found 0", of("gpipe", **PIPELINE)),
    ("schedule.checkpoint", "1", "expected true or false, found 1", of("gpipe", **PIPELINE)),
    ("schedule.optimizer_sync", '"x"', "expected 'none', 'barrier' or 'post-validation'", of("gpipe", **PIPELINE)),
    ("schedule.ahead", "-1", "expected a number of at least 0, found -1", of("gpipe", **PIPELINE)),
    ("schedule.replicas", "0", "expected a number of at least 1, found 0", of("1f1b", **PIPELINE)),
    ("schedule.replicas", "3", "expected a divisor of the 4 workers, found 3", of("1f1b", **PIPELINE)),
    ("schedule.chunks", "0", "expected a number of at least 1, found 0", of("interleaved-1f1b", **PIPELINE)),
    ("schedule.memory_cap", "0", "expected a number above 0, found 0", of("zb-1p", **PIPELINE)),
    ("schedule.file", "3", "expected text, found 3", of("order", **PIPELINE)),
    ("schedule.vertical_sync", "1", "expected true or false, found 1", of("pipedream", **PIPELINE)),
    ("schedule.engines", "3", "expected a number of at most 2, found 3", of("petra", **PIPELINE)),
    ("schedule.buffered", "1", "expected a list, found 1", of("petra", **PIPELINE)),
    ("schedule.overlap_last", "true", "schedule.engines = 2 beside it, found 1", of("delayed-gradients", **PIPELINE)),
    ("schedule.offset", "-1", "expected a number of at least 0, found -1", of("cdp-v1", gradients="2")),
    ("schedule.parameters", '"x"', "found 'x'", of("cdp-v1", gradients="2")),
    ("schedule.placement", '"x"', "found 'x'", of("cdp-v1", gradients="2")),
    ("workload.boundary", '["1 MB", ["x"]]', "boundary.1: expected a quantity such as", of("gpipe", **PIPELINE)),
    ("workload.boundary", '"x"', "expected a quantity such as", of("gpipe", **PIPELINE)),
    ("workload.split", "[1]", "expected workload.module beside it, found none", of("gpipe", **PIPELINE)),
    ("workload.tied", "3", "expected a list, found 3", of("gpipe", **PIPELINE)),
    ("schedule.mu", "5", "expected at most smoothness = 4, found 5", DADAO),
    ("schedule.mu", None, "expected a value, found none", DADAO),
    ("schedule.smoothness", "0", "expected a number above 0, found 0", DADAO),
    ("schedule.pairing", '"first-come"', "expected 'edge-clock', found 'first-come'", DADAO),
    # [topology]
    ("topology.graph", '"rong"', "graph: expected one of ring,", "found 'rong' (did you mean 'ring'?)"),
    ("topology.graph", "3", "expected text, found 3"),
    ("topology.graph", None, "expected a value, found none"),
    ("topology.graph", '"hypercube"', "expected a power of two, found 6", {"topology.workers": "6"}),
    ("topology.graph", '"grid"', "product of two sides", "found 7", {"topology.workers": "7"}),
    ("topology.graph", '"barbell"', "workers", "found 3", {"topology.workers": "3"}),
    ("topology.graph", '"ring.graphml"', "(a file is named by topology.file), found 'ring.graphml'"),
    ("topology.file", '"f.json"', "expected none beside topology.graph, found 'f.json'"),
    ("topology.file", '"none.json"', "none.json: expected a readable file, found: No such", {"topology.graph": None}),
    ("topology.file", '"f.gml"', "file name ending in .graphml or .json, found '.gml'", {"topology.graph": None}),
    ("topology.file", "[]", "expected at least one file, found none", {"topology.graph": None}),
    ("topology.file", '["f.json", 3]', "file.1: expected text, found 3", {"topology.graph": None}),
    ("topology.count", "0", "expected a number of at least 1, found 0", VARYING),
    ("topology.count", "2.5", "expected a whole number, found 2.5", VARYING),
    ("topology.count", "3", "expected one graph for all-reduce", "(several are for gossip, a2cid2", {
        **VARYING, **ALL_REDUCE}),
    ("topology.period", "0", "expected a number above 0, found 0", {**VARYING, "topology.count": "3"}),
    ("topology.period", '"1 s"', "expected a number, found '1 s'", {**VARYING, "topology.count": "3"}),
    ("topology.period", "2", "expected topology.count, or a list of files, beside it, found neither", VARYING),
    ("topology", '{ file = "f.json", workers = 2, degree = 3 }', "of a builder beside file, found degree"),
    ("topology.workers", "0", "expected a number of at least 1, found 0"),
    ("topology.workers", "-4", "expected a number of at least 1, found -4"),
    ("topology.workers", "4.5", "expected a whole number, found 4.5"),
    ("topology.workers", "true", "expected a whole number, found true"),
    ("topology.weights", '"even"', "expected 'uniform', 'neighbour' or 'optimal', found 'even'"),
    ("topology.degree", "3", "graph 'ring': expected no options, found option 'degree'"),
    ("topology.degre", "3", "found option 'degre' (did you mean 'degree'?)", {"topology.graph": '"random_regular"'}),
    ("topology.degree", "9", "degree", "found 9", {"topology.graph": '"random_regular"'}),
    ("topology.p", "nan", "p: expected a number between 0 and 1, found nan", {"topology.graph": '"erdos_renyi"'}),
    ("topology.p", "0.0", "expected a connected graph, found none", "p=0", {"topology.graph": '"erdos_renyi"'}),
    # [platform]
    ("platform.gradient", None, "platform", "expected a table [platform], found none"),
    ("platform.gradient", '"120 ms"', "expected a table, found '120 ms'"),
    ("platform.gradient.mean", None, "platform", "expected a table [platform], found none"),
    ("platform.gradient.mean", '"-1 ms"', "expected a number of at least 0, found '-1 ms'"),
    ("platform.gradient.mean", '"10 MB"', 'in second, such as "50 us" (with ns, us or µs, ms, s,', "found '10 MB'"),
    ("platform.gradient.mean", '"ten ms"', 'expected a quantity such as "50 us" (with ns, us or', "found 'ten ms'"),
    ("platform.gradient.mean", '"inf s"', "expected a finite quantity", "found 'inf s'"),
    ("platform.gradient.mean", "nan", "expected a finite quantity", "found nan"),
    ("platform.gradient.mean", "true", "expected a quantity", "found true"),
    ("platform.gradient.distribution", '"normal"', "expected 'constant', 'exponential', 'lognormal', 'gamma' or "),
    ("platform.gradient.distribution", '"empirical"', "expected one of samples and trace beside it"),
    ("platform.gradient.distribution", '"log-normal"', "found 'log-normal' (did you mean lognormal"),
    ("platform.gradient.cv", "0.1", "expected none for the constant distribution", "found 0.1"),
    ("platform.gradient.cv", "-0.1", "expected a number of at least 0, found -0.1"),
    ("platform.gradient.cv", "0", "above 0", "found 0", {"platform.gradient.distribution": '"gamma"'}),
    ("platform.gradient.cv", "2", "expected none", "found 2", {"platform.gradient.distribution": '"exponential"'}),
    ("platform.gradient.speed", "2", "unknown key", "accepted: distribution, mean, cv"),
    ("platform.gradient", '{ distribution = "exponential" }', "expected one of the keys mean, flops, bytes, samples"),
    ("platform.gradient.flops", '"4.1 TFLOP"', "expected a table [platform.device] for it", NO_MEAN),
    ("platform.gradient.flops", '"4.1 GB"', 'in FLOP, such as "4.1 TFLOP" (with ', "found '4.1 GB'", NO_MEAN),
    ("platform.gradient.flops", "-1", "expected a number of at least 0, found -1", NO_MEAN),
    ("platform.gradient.bytes", '"1 GB"', "expected a table [platform.device] for it", NO_MEAN),
    ("platform.gradient.bytes", '"1 TFLOP"', "expected a quantity in byte", "found '1 TFLOP'", NO_MEAN),
    ("platform.gradient.mean", '"1 s"', "expected none beside the keys that give it (2 s), found '1 s'", {
        **A100, "platform.gradient.flops": '"624 TFLOP"'}),
    ("platform.gradient.samples", "[]", "expected at least one duration, found []", EMPIRICAL),
    ("platform.gradient.samples", '"1 ms"', "expected a list, found '1 ms'", EMPIRICAL),
    ("platform.gradient.samples", '["1 ms", "1 MB"]', "samples.1: expected a quantity in second", EMPIRICAL),
    ("platform.gradient.samples", "[1]", "expected none for the constant distribution (is empirical meant?)", NO_MEAN),
    ("platform.gradient.mean", "1", "expected none beside the keys that give it (2 s), found 1", {
        **EMPIRICAL, "platform.gradient.samples": "[1, 3]"}),
    ("platform.gradient.trace", '"none"', "none/trace.parquet: expected the trace of a run, found none", EMPIRICAL),
    ("platform.gradient.trace", '"none"', "expected none for the constant distribution", NO_MEAN),
    ("platform.gradient.cv", "0.1", "expected none for the empirical distribution", {
        **EMPIRICAL, "platform.gradient.samples": "[1]"}),
    ("platform.device", '"A100"', "expected a table, found 'A100'"),
    ("platform.device.flops", '"312 TFLOP"', 'FLOP/second, such as "312 TFLOP/s"', "found '312 TFLOP'", A100),
    ("platform.device.flops", "0", "expected a number above 0, found 0", A100),
    ("platform.device.memory_bandwidth", None, "expected a value, found none", A100),
    ("platform.device.efficiency", "1.1", "expected a number of at most 1, found 1.1", A100),
    ("platform.device.eficiency", "1", "unknown key (did you mean efficiency?)", A100),
    ("platform.link", '"10 Gbit/s"', "expected a table, found '10 Gbit/s'"),
    ("platform.link.bandwidth", None, "expected a value, found none", {"platform.link.latency": "1"}),
    ("platform.link.latency", '"-1 us"', "of at least 0, found '-1 us'", {"platform.link.bandwidth": "1"}),
    ("platform.link.bandwidth", '"10 Gbit"', 'in byte/second, such as "10 Gbit/s"', "found '10 Gbit'"),
    ("platform.link.bandwidth", "0", "expected a number above 0, found 0"),
    ("platform.link.bandwith", "1", "unknown key (did you mean bandwidth", {"platform.link.bandwidth": "1"}),
    ("platform.transport", '"tcp"', "expected 'ideal', 'gloo', 'nccl', 'latency' or 'none', found 'tcp'"),
    ("platform.transport", '["gloo"]', "expected 'ideal', 'gloo', 'nccl', 'latency' or 'none', found ['gloo']"),
    ("platform.window", '"1 kB"', "expected a window of at least a TCP segment, 1460 B, found 1000 B"),
    ("platform.initial_window", "0", "expected a window of at least a TCP segment, 1460 B, found 0 B"),
    ("platform.link.window", '"1459 B"', "TCP segment, 1460 B, found 1459 B", {"platform.link.bandwidth": "1"}),
    (
        "platform.network.window",
        '"1 kB"',
        "expected a window of at least a TCP segment, 1460 B, found 1000 B",
        {"platform.network.kind": '"fabric"'},
    ),
    ("platform.order", '"sorted"', "expected 'auto', 'in-order' or 'overtaking', found 'sorted'"),
    ("platform.collectives", "1", "expected a table, found 1"),
    ("platform.efficiency", "0", "expected a number above 0, found 0"),
    ("platform.efficiency", "1.2", "expected a number of at most 1, found 1.2"),
    ("platform.efficiency", '"high"', "expected a number, found 'high'"),
    ("platform.efficiency", '{ sizes = ["1 MB"] }', "platform.efficiency.values: expected a value, found none"),
    ("platform.efficiency", "{ sizes = [1, 2], values = [[0.5]] }", "expected 2 a row, one a size, found 1 (nodes: 1)"),
    ("platform.efficiency", "{ sizes = [2, 1], values = [[0.5, 0.6]] }", "sizes: expected them to rise, found 1"),
    ("platform.efficiency", "{ sizes = [1], nodes = [2, 2], values = [[0.5], [0.6]] }", "nodes: expected"),
    ("platform.efficiency", "{ sizes = [1], nodes = [1, 2], values = [[0.5]] }", "expected a row for each of 2"),
    ("platform.efficiency", '{ sizes = ["1 MB", "2 MB"], nodes = [4], values = [[0.7, 0.6]] }',
     "efficiencies that do not fall with size, found 0.6 at 2000000 B after 0.7 (nodes: 4)"),
    ("platform.collectives.form", '"open"', "expected 'auto', 'closed' or 'flows', found 'open'"),
    ("platform.collectives.form", '"flows"', "expected [platform.network] for flows, found none"),
    ("platform.collectives.all_reduce", '"rings"', "expected 'auto', 'ring', 'halving-doubling', 'tree', "),
    ("platform.collectives.reduce_scatter", '"tree"', "expected 'auto', 'ring', 'halving' or 'all-reduce', found"),
    ("platform.collectives.all_gather", '"tree"', "expected 'auto', 'ring' or 'doubling', found 'tree'"),
    ("platform.collectives.broadcast", '"ring"', "expected 'auto', 'tree', 'chain' or 'tree-at-once', found 'ring'"),
    ("platform.collectives.all_to_all", "1", "expected 'auto', 'pairwise' or 'direct', found 1"),
    ("platform.host.cores", "0", "expected a number of at least 1, found 0"),
    ("platform.host.waking", '"2 MB"', "expected a quantity in second", "found '2 MB'"),
    ("platform.host", '"late"', "expected a table, found 'late'"),
    ("platform.host.busy", "3", "expected a table, found 3"),
    ("platform.host.busy.meetings", "1", "unknown key (did you mean meeting?)"),
    ("platform.host.bandwidth", '"0 GB/s"', "found '0 GB/s'"),
    *((f"platform.host.{name}", '"-1 s"', "found '-1 s'") for name in ("start", "handing", "passing", "meeting")),
    ("platform.collectives.overhead", '"-1 ms"', "found '-1 ms'"),
    ("platform.faults", '"often"', "expected a table, found 'often'"),
    ("platform.faults.outages", "3", "expected a list, found 3"),
    ("platform.faults.outages", '[{ rank = 9, at = "1 s" }]', "expected ranks below 4, found 9"),
    ("platform.faults.outages", "[{ rank = 1 }]", "outages.0.at: expected a value, found none"),
    ("platform.faults.outages", "[{ rank = 1, at = 5, back = 3 }]", "expected a time after", "found 3"),
    ("platform.faults.mean_time_to_failure", '"0 s"', "expected a number above 0, found '0 s'"),
    ("platform.faults.mean_time_to_repair", '"1 s"', "expected platform.faults.mean_time_to_failure beside it"),
    ("platform.faults.detection", '"1 MB"', "expected a quantity in second", "found '1 MB'"),
    ("platform.network", '"fabric"', "expected a table, found 'fabric'"),
    ("platform.network.kind", '"fabrik"', "found 'fabrik' (did you mean 'fabric'?)"),
    ("platform.network.kind", "3", "expected text, found 3"),
    ("platform.network.file", '"none.json"', "none.json"),
    ("platform.network.file", '"f.json"', "expected none beside platform.network.kind", FABRIC),
    ("platform.network", '{ file = "f.json", latency = "far" }', "latency: expected a quantity such as", "found 'far'"),
    ("platform.network", '{ file = "f.json", hosts = 2 }', "expected no options of a builder beside file, found hosts"),
    ("platform.network", '{ file = "f.json", duplex = "half" }', "of a builder beside file, found duplex"),
    ("platform.network.ties", '"random"', "expected 'smallest' or 'ecmp', found 'random'", FABRIC),
    ("platform.network.ties", '"ecmp"', "expected one of the keys kind and file, found none of them"),
    ("platform.network.sharing", '"fair"', "expected 'max-min' or 'rtt', found 'fair'", FABRIC),
    ("platform.network.solver", '"fast"', "expected 'auto', 'python' or 'numba', found 'fast'", FABRIC),
    ("platform.network.placement", "[0]", "expected places for 4 workers, found 1", FABRIC),
    ("platform.network.hosts", "0", "expected a number of at least 1, found 0", FABRIC),
    ("platform.network.hosts", "2", "expected places for 4 workers, found 2", FABRIC),
    ("platform.network.routes", "[]", "expected a table, found []", FABRIC),
    ("platform.network.bandwidth", '"10 s"', "expected a quantity in byte/second", "found '10 s'", FABRIC),
    ("platform.network.bandwith", "1", "did you mean 'bandwidth'?", FABRIC),
    ("platform.overhead", '"1 byte"', "expected a quantity in second", "found '1 byte'"),
    ("platform.kernels", "[]", "expected a table, found []"),
    ("platform.kernels.forward", '"1 MB"', 'expected a quantity in second, such as "50 us"', "found '1 MB'"),
    ("platform.kernels.forward", '["1 ms", "x"]', 'forward.1: expected a quantity such as "50 us"', "found 'x'"),
    ("platform.kernels.reconstrukt", '"1 ms"', "expected one of backward,", "found 'reconstrukt' (did you mean"),
    ("platform.gradient_time", '"1 s"', "expected none beside platform.gradient with a mean above 0, found '1 s'"),
    ("platform.gradient_time", "0", "expected a number above 0, found 0", {"platform.gradient": "{ mean = 0 }"}),
    ("platform.kernels.forward.men", "1", "unknown key (did you mean mean?)", {"platform.kernels.forward.mean": "1"}),
    ("platform.kernels.encode.flops", "1", "expected a table [platform.device] for it, found 1"),
    ("platform.speed", "2", "expected a table of speeds by rank, or a list of one number a rank, found 2"),
    ("platform.speed", "[1, 1, 1]", "expected 4 numbers, found 3"),
    ("platform.speed", '[1, 1, 1, "2"]', "expected a finite number above 0 for rank 3, found '2'"),
    ("platform.speed", "{ 4 = 0.5 }", "expected ranks below 4, found 4"),
    ("platform.speed", "{ 3 = 0 }", "expected a finite number above 0 for rank 3, found 0"),
    ("platform.speed", "{ 3 = inf }", "expected a finite number above 0 for rank 3, found inf"),
    ("platform.speed", "{ last = 0.5 }", "expected speeds by rank, found 'last'"),
    ("platform.speed", "{ 1 = 0.5, 01 = 0.5 }", "expected one speed a rank, found two for rank 1"),
    ("platform.stragglers", "4.0", "expected a table, found 4.0"),
    ("platform.stragglers.slowdown", "0.5", "expected a number of at least 1, found 0.5", STRAGGLERS),
    ("platform.stragglers.mean_normal", "0", "expected a number above 0, found 0", STRAGGLERS),
    ("platform.stragglers.mean_slow", None, "expected a value, found none", STRAGGLERS),
    ("platform.stragglers.mean_slow", '"1 MB"', "expected a quantity in second", "found '1 MB'", STRAGGLERS),
    ("platform.stragglers.ranks", "[4]", "expected ranks below 4, found 4", STRAGGLERS),
    ("platform.stragglers.ranks", "[0.5]", "expected a whole number", STRAGGLERS),
    ("platform.stragglers.rank", "[1]", "unknown key (did you mean ranks?)", STRAGGLERS),
    ("platform.communication_slowdown", "0.9", "expected a number of at least 1, found 0.9"),
    # [workload]
    ("workload.parameters", None, "workload", "expected a table [workload], found none"),
    ("workload.parameters", "0", "expected a number of at least 1, found 0"),
    ("workload.parameters", "25e6", "expected a whole number or a list, found 25000000.0"),
    ("workload.problem", '"digits"', "expected one of quadratic,", "found 'digits'", {"workload.parameters": None}),
    ("workload.problem", "3", "expected text, found 3", {"workload.parameters": None}),
    ("workload.parameters", "10", "none beside workload.problem, found 10", {"workload.problem": '"quadratic"'}),
    ("workload.module", '"mymodel"', 'expected a factory such as "package.module:factory", found \'mymodel\''),
    ("workload.module", '"m:f"', "expected none beside workload.problem, found 'm:f'", PROBLEM),
    ("workload.dtype", '"int8"', "expected 'float16', 'bfloat16', 'float32' or 'float64', found 'int8'"),
    ("workload.dtype", '"float16"', "expected 'float32' or 'float64' for a problem, found 'float16'", PROBLEM),
    ("workload.buffers", '"all"', "expected 'own', 'average' or 'recompute', found 'all'"),
    ("workload.master", '"float64"', "expected 'float32', found 'float64'", HALF),
    ("workload.master", '"float32"', "expected workload.dtype 'bfloat16' or 'float16' beside it, found 'float32'"),
    ("workload.layers", "0", "expected a number of at least 1, found 0"),
    ("workload.layers", None, "expected how many the model has", {**ALL_REDUCE, "schedule.overlap": '"layers"'}),
    ("workload.layers", "99", "expected at most", "found 99", {**DILOCO, "workload.parameters": "100"}),
    ("workload.batch_size", "0", "expected a number of at least 1, found 0"),
    ("workload.activations", '"-1 GB"', "expected a number of at least 0, found '-1 GB'"),
    ("workload.activations", '"2 s"', 'in byte, such as "44.7 MB"', "found '2 s'"),
    ("workload.options", "3", "expected a table, found 3", PROBLEM),
    ("workload.options.hidden", "[0]", "hidden: expected a whole number of at least 1, found 0", PROBLEM),
    ("workload.options.hiden", "[8]", "found 'hiden' (did you mean 'hidden'?)", PROBLEM),
    ("workload.options.l2", "inf", "l2: expected a finite number", "found inf", PROBLEM),
    ("workload.options.l2", "1", "workload.options: expected options of a problem, found no problem"),
    ("workload.options.start", '"apart"', "start: expected one of 'common', 'spread', found 'apart'", QUADRATIC),
    ("workload.options.start", "true", "start: expected one of 'common', 'spread', found True", QUADRATIC),
    ("workload.options.start", '"spread"', "found 'start'", PROBLEM),
    ("workload.options.curvature", "-1", "curvature: expected a finite number of at least 0, found -1", QUADRATIC),
    ("workload.tensors", '"none.csv"', "none.csv: expected a file, found none"),
    ("workload.dtype", None, "workload: expected one of the keys problem, parameters, tensors and module", {
        "workload.parameters": None, "workload.batch_size": "8"}),
    ("topology.workers", "2000", "topology.workers: expected at most one worker a sample (1437), found 2000", PROBLEM),
    # [optimizer]
    ("optimizer.learning_rate", "0", "expected a number above 0, found 0"),
    ("optimizer.learning_rate", '"0.1"', "expected a number, found '0.1'"),
    ("optimizer.momentum", "1", "expected a number below 1, found 1"),
    ("optimizer.weight_decay", "-1e-4", "expected a number of at least 0, found -0.0001"),
    ("optimizer.nesterov", "true", "expected optimizer.momentum above 0 beside it, found 0"),
    ("optimizer.schedule", '"linear"', "expected 'constant', 'step' or 'cosine', found 'linear'"),
    ("optimizer.warmup", "1.5", "expected a number below 1, found 1.5"),
    ("optimizer.lr", "1", "unknown key", "accepted: name, learning_rate, momentum"),
    ("optimizer.name", '"adam"', "expected 'sgd' or 'adamw', found 'adam' (did you mean adamw?)"),
    ("optimizer.momentum", "0.9", "expected none beside optimizer.name = 'adamw', found 0.9", ADAMW),
    ("optimizer.nesterov", "true", "expected none beside optimizer.name = 'adamw', found true", ADAMW),
    ("optimizer.beta_1", "0.8", "expected none beside optimizer.name = 'sgd', found 0.8"),
    ("optimizer.beta_1", "1", "expected a number below 1, found 1", ADAMW),
    ("optimizer.beta_2", "0.99", "expected none beside optimizer.name = 'sgd', found 0.99"),
    ("optimizer.beta_2", "-1", "expected a number of at least 0, found -1", ADAMW),
    ("optimizer.eps", "1e-6", "expected none beside optimizer.name = 'sgd', found 1e-06"),
    ("optimizer.eps", "0", "expected a number above 0, found 0", ADAMW),
    ("optimizer.clip_norm", "0", "expected a number above 0, found 0"),
    ("optimizer.no_decay", '"*.bias"', "expected a list, found '*.bias'"),
    ("optimizer.no_decay", "[1]", "expected text, found 1"),
    ("optimizer.no_decay", '["*.none"]', "expected patterns of 'layers.0.weight'", PROBLEM),
    ("optimizer.minimum", "1.5", "expected a number of at most 1, found 1.5", {"optimizer.schedule": '"cosine"'}),
    ("optimizer.minimum", "0.1", "expected optimizer.schedule 'cosine' beside it, found 'constant'"),
    # [run]
    ("run.seed", "-1", "expected a number of at least 0, found -1"),
    ("run.seed", "1.5", "expected a whole number, found 1.5"),
    ("run.seed", "9223372036854775808", "expected a number below 9.22337203685478e+18, found 9223372036854775808"),
    ("run.trace", '"no"', "expected true or false, found 'no'"),
    ("run.ages", '"yes"', "expected true or false, found 'yes'"),
    ("run.numerics", "0", "expected true or false, found 0"),
    ("run.until", '"known"', "expected 'end', 'gradients', 'time' or 'precision', found 'known'"),
    ("run.total", "7", "expected run.until = 'gradients' beside it, found 'end'"),
    ("run.duration", '"3 s"', "expected run.until = 'time' beside it, found 'end'"),
    ("run.samples", "0", "expected a number of at least 1, found 0"),
    ("run.precision", "0", "expected a number above 0, found 0"),
    ("run.precision", "1", "expected a number below 1, found 1"),
    ("run.limit", "0", "expected a number of at least 1, found 0"),
    ("run.observations", "10001", "expected a number of at most 10000, found 10001"),
    # [execution]
    ("execution.device", '"gpu"', "expected 'auto', 'cpu' or 'cuda', found 'gpu'"),
    ("execution.backend", '"mpi"', "expected 'auto', 'gloo' or 'nccl', found 'mpi'"),
    ("execution.compute", "true", "expected 'auto', 'real' or 'paced', found true"),
    ("execution.timeout", "0", "expected a number above 0, found 0"),
    ("execution.patience", "0", "expected a number above 0, found 0"),
    ("execution.patience", '"-1 s"', "expected a number of at least 0, found '-1 s'"),
    ("execution.patience", '"soon"', "expected"),
    # whole tables
    ("sheduel.rate", "1", "unknown table [sheduel] (did you mean schedule?)"),
    ("run", "3", "expected a table, found 3"),
    ("topology", '"ring"', "expected a table, found 'ring'"),
]  # fmt: skip
"""A key, its line in the file (None: left out), what the message says, and what else is in the file."""


def files(here):
    return sorted((str(path.relative_to(here)), path.is_dir() or path.read_bytes()) for path in here.rglob("*"))


def assert_refused(result, here, before, *words):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("twinclock: ")
    for word in words:
        assert word in line
    assert "Input should" not in line
    assert "Value error" not in line
    assert files(here) == before


@pytest.mark.parametrize("row", KEYS, ids=[f"{row[0]}={row[1]}" for row in KEYS])
def test_wrong_key(here, scenario, run, row):
    key, value, *words = row
    more = words.pop() if isinstance(words[-1], dict) else {}
    file = scenario({**more, key: value})
    before = files(here)
    is_whole = key.startswith(("topology", "sheduel", "workload.options", "platform.network")) or value is None
    named = key.split(".")[0] if is_whole else key
    assert_refused(run("simulate", file, "--out", "out"), here, before, f"{file}: ", named, *words)


def known_keys():
    """Every key that a scenario may have, but for those of graphs, problems and users' own schedules."""
    settings = [catalogue.find(name).settings for name in catalogue.names()]
    found = {f"schedule.{each.name}" for model in settings for each in setting_docs(model)}
    return found | {
        f"{table}.{each.name}" for table, model in scenario_tables().items() for each in setting_docs(model)
    }


def test_every_key_is_tried():
    assert known_keys() - {row[0] for row in KEYS} == set()


# ---- options and files


def test_set_is_told_with_its_key(here, scenario, run):
    file = scenario()
    before = files(here)
    result = run("simulate", file, "--set", "schedule.rate=fast", "--out", "out")
    assert_refused(result, here, before, "schedule.rate: expected a number, found 'fast'")


OPTIONS = [
    (("simulate",), "Missing argument 'SCENARIO'", "twinclock simulate --help"),
    (("simulate", "none.toml"), "none.toml: expected a scenario file, found none"),
    (("simulate", "."), ".: expected a scenario file, found none (Is a directory)"),
    (("simulate", "broken.toml"), "broken.toml: expected TOML, found an error", "line 1"),
    (("simulate", "bytes.toml"), "bytes.toml: expected a TOML file in UTF-8, found other bytes"),
    (("simulate", "empty.toml"), "empty.toml: expected a table [schedule], found none"),
    (("simulate", "scenario.toml", "--sed", "3"), "No such option '--sed'", "--seed"),
    (("simulate", "scenario.toml", "--seed", "x"), "--seed", "'x' is not a valid integer"),
    (("simulate", "scenario.toml", "--seed", "-1"), "run.seed: expected a number of at least 0, found -1"),
    (("simulate", "scenario.toml", "--seed"), "'--seed' requires an argument"),
    (("simulate", "scenario.toml", "more.toml"), "unexpected extra argument"),
    (("simulate", "scenario.toml", "--set", "schedule.rate"), "--set: expected KEY=VALUE, found 'schedule.rate'"),
    (("simulate", "scenario.toml", "--set", "=2"), "--set: expected KEY=VALUE, found '=2'"),
    (("simulate", "scenario.toml", "--set", "rate=2"), "expected a dotted key such as schedule.rate, found 'rate'"),
    (("simulate", "scenario.toml", "--set", "schedule..rate=2"), "expected a dotted key", "'schedule..rate'"),
    (("simulate", "scenario.toml", "--set", "schedule.rate.x=2"), "schedule.rate: expected a number, found {'x': 2}"),
    (("simulate", "scenario.toml", "--set", "schedule.program.x=2"), "expected program to be a table, found 'gossip'"),
    (("simulate", "varying.toml", "--set", "topology.count=0"), "topology.count: expected a number of at least 1"),
    (("simulate", "varying.toml", "--set", "topology.period=-1"), "period: expected a number above 0, found -1"),
    (("simulate", "varying.toml", "--set", "schedule.program=d-psgd"), "topology.count: expected one graph for d-psgd"),
    (("execute", "varying.toml", "--set", "schedule.program=all-reduce"), "topology.count: expected one graph for"),
    (("simulate", "varying.toml", "--set", "schedule.pairing=first-come"), "pairing: expected 'edge-clock' on a graph"),
    (("simulate", "apart.toml"), "apart.json: expected a connected graph, found no path from worker 0 to worker 2"),
    (("simulate", "scenario.toml", "--set", "sweep.x=[1]"), "--set sweep.x: expected a key outside of [sweep]"),
    (("simulate", "scenario.toml", "--out", "file"), "file: expected a new or empty directory", "found something else"),
    (("simulate", "scenario.toml", "--out", "file/run"), "file/run: expected a place in a directory, found the file"),
    (("simulate", "scenario.toml", "--out", "full"), "full: expected a new or empty directory"),
    (("simulate", "scenario.toml", "--replay", "none"), "none/trace.parquet: expected the trace of a run, found none"),
    (("simulate", "scenario.toml", "--replay", "cut"), "cut/trace.parquet: expected a whole Parquet trace"),
    (("simulate", "scenario.toml", "--replay", "other"), "expected a trace of this scenario", "run.seed = 9 (here 0)"),
    (("execute", "none.toml"), "none.toml: expected a scenario file, found none"),
    (("execute", "scenario.toml", "--out", "file"), "file: expected a new or empty directory"),
    (("execute", "scenario.toml", "--replay", "other", "--out", "new"), "expected a trace of this scenario"),
    (("execute", "scenario.toml", "--set", "schedule.rate=-1"), "schedule.rate: expected a number above 0, found -1"),
    (("execute", "scenario.toml", "--set", "run.until=precision"), "run.until: expected 'end', 'gradients' or 'time'"),
    (("simulate", "scenario.toml", "--platform", "none.toml"), "none.toml: expected a scenario file, found none"),
    (("simulate", "scenario.toml", "--platform", "empty.toml"), "empty.toml: expected a table [platform], found none"),
    (("calibrate", "none.toml"), "none.toml: expected a scenario file, found none"),
    (("calibrate", "scenario.toml", "--out", "full"), "full: expected a file, found a directory"),
    (("calibrate", "--set", "topology.workers=1"), "workers: expected at least 2, between which a link is, found 1"),
    (("quickstart", "--out", "full"), "full: expected a new or empty directory, or one with scenario.toml"),
    (("quickstart", "--out", "file"), "file: expected a directory, found a file"),
    (("quickstart", "scenario.toml"), "unexpected extra argument (scenario.toml)"),
    (("sweep", "scenario.toml"), "scenario.toml: sweep: expected a table of lists", "found none"),
    (("sweep", "sweep.toml", "--out", "file"), "file: expected a directory, found a file"),
    (("sweep", "sweep.toml", "--out", "full"), "full: expected a new or empty directory, or one with cases"),
    (("sweep", "sweep.toml", "--jobs", "0"), "--jobs: expected a number of processes", "found 0"),
    (("sweep", "sweep.toml", "--jobs", "-2"), "--jobs: expected a number of processes", "found -2"),
    (("sweep", "sweep.toml", "--set", "schedule.rate=3"), "sweep.schedule.rate: expected a key that is swept or set"),
    (("sweep", "badcase.toml"), "badcase.toml: sweep.case: expected tables [[sweep.case]], found 3"),
    (("sweep", "badfate.toml"), "badfate.toml: sweep.impossible: expected 'refuse' or 'list', found 'skip'"),
    (("sweep", "badsweep.toml"), "badsweep.toml: sweep case schedule.rat = 1: schedule.rat: unknown key"),
    (("compare", "full"), "Missing argument 'REAL_DIR'"),
    (("compare", "none", "other"), "none: expected a run directory", "found nothing"),
    (("compare", "other", "file"), "file: expected a run directory", "found a file"),
    (("compare", "other", "other"), "expected a measured run, found a simulated one"),
    (("compare", "other", "other", "--force", "--out", "file"), "file"),
    (("export", "other"), "Missing option '--format'", "perfetto"),
    (("export", "other", "--format", "json"), "--format", "'json' is not one of 'perfetto', 'graphml', 'csv'"),
    (("export", "none", "--format", "csv"), "none: expected a run directory", "found nothing"),
    (("export", "cut", "--format", "csv", "--out", "x.csv"), "cut/trace.parquet: expected a whole Parquet table"),
    (("export", "other", "--format", "csv", "--out", "file/x.csv"), "file/x.csv: expected a place in a directory"),
    (("schedules", "gosip"), "expected one of all-reduce", "found 'gosip' (did you mean gossip?)"),
    (("schedules", "gossip", "--tables"), "--tables: expected no NAME beside it"),
    (("schedules", "gossip", "--markdown"), "--markdown: expected no NAME and no other option beside it"),
    (("topologies", "rong"), "graph: expected one of ring", "found 'rong' (did you mean 'ring'?)"),
    (("topologies", "ring", "--workers", "0"), "workers: expected a number of at least 1, found 0"),
    (("topologies", "ring", "--rate", "-1"), "per_worker: expected a finite number above 0", "found -1"),
    (("topologies", "ring", "--rate", "nan"), "per_worker: expected a finite number above 0", "found nan"),
    (("topologies", "ring", "--weights", "even"), "expected one of 'uniform', 'neighbour', 'optimal', found 'even'"),
    (("topologies", "ring", "--set", "k=3"), "graph 'ring': expected no options, found option 'k'"),
    (("topologies", "ring", "--draw", "ring.pdf"), "--draw: expected a file name ending in .svg or .png"),
    (("topologies", "ring", "--draw", "full.svg"), "full.svg: expected a file, found a directory"),
    (("topologies", "--draw", "ring.svg"), "expected the NAME of a graph or network"),
    (("topologies", "ring", "--network"), "network: expected one of dedicated"),
    (("topologies", "ring", "--set", "count=3"), "graph 'ring': expected a family of random graphs (random_regular"),
    (("topologies", "ring", "--set", "period=3"), "period: expected topology.count, or a list of files, beside it"),
    (("topologies", "random_geometric", "--set", "count=0"), "count: expected a number of at least 1, found 0"),
    (("topologies", "random_geometric", "--set", "count=2", "--set", "period=0"), "period: expected a number above 0"),
    (("topologies", "ring", "star"), "expected one name, or files of graphs that are there in turn, found 'ring' too"),
    (("topologies", "five.json", "apart.json"), "apart.json: expected a connected graph, found no path from worker 0"),
    (("topologies", "five.json", "six.json"), "six.json: expected 5 workers, as five.json has, found 6"),
    (("topologies", "five.json", "five.json", "--workers", "4"), "--workers: expected 5, as five.json has nodes"),
    (("topologies", "apart.json", "--weights", "optimal"), "apart.json: expected a connected graph, found no path"),
    (("simulat", "scenario.toml"), "No such command 'simulat'"),
    (("--fast",), "No such option '--fast'"),
]  # fmt: skip
"""Arguments, and what the message says."""


@pytest.fixture
def around(here, scenario, run):
    """Files that are wrong in some way, beside `scenario.toml`; `other` is a run with another seed."""
    scenario()
    scenario({"topology.graph": '"random-geometric"', "topology.count": "3"}, "varying.toml")
    lacking = {"topology.graph": None, "topology.workers": None, "topology.weights": '"optimal"'}
    scenario({**lacking, "topology.file": '"apart.json"'}, "apart.toml")
    scenario({"sweep.'schedule.rate'": "[1, 2]"}, "sweep.toml")
    scenario({"sweep.'schedule.rat'": "[1, 2]"}, "badsweep.toml")
    scenario({"sweep.case": "3"}, "badcase.toml")
    scenario({"sweep.'schedule.rate'": "[1, 2]", "sweep.impossible": '"skip"'}, "badfate.toml")
    (here / "broken.toml").write_text("schedule = \n")
    save(nx.cycle_graph(5), here / "five.json")
    save(nx.cycle_graph(6), here / "six.json")
    save(nx.Graph([(0, 1), (2, 3)]), here / "apart.json")
    (here / "bytes.toml").write_bytes(b"\xff\xfe")
    (here / "empty.toml").write_text("")
    (here / "file").write_text("mine\n")
    for name in ("full", "full.svg"):
        (here / name).mkdir()
        (here / name / "mine.txt").write_text("mine\n")
    for name in ("other", "cut"):
        assert run("simulate", "scenario.toml", "--seed", "9", "--out", name).exit_code == 0
    trace = here / "cut" / "trace.parquet"
    trace.write_bytes(trace.read_bytes()[:-200])
    return here


@pytest.mark.parametrize("row", OPTIONS, ids=[" ".join(row[0]) for row in OPTIONS])
def test_wrong_option(around, run, row):
    arguments, *words = row
    before = files(around)
    assert_refused(run(*arguments), around, before, *words)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "scenario.toml", "--set", "schedule.rate=-1"), "schedule.rate"),
        (("sweep", "none.toml"), "none.toml"),
        (("--fast",), "--fast"),
    ],
    ids=["key", "file", "option"],
)
def test_process_ends_with_status_2_and_without_traceback(around, arguments, word):
    before = files(around)
    command = [sys.executable, "-m", "twinclock", *arguments]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("twinclock: ")
    assert word in line
    assert files(around) == before
