"""Three stages of other sizes on two ranks, with an outer step: y_k = tanh(mean(w_k)) y_{k-1}, and (y_3 - 1)^2 / 2.

Rank 0 holds the first two stages, rank 1 the last. Every round of `micro_batches` ends with a step of each stage, every
`rounds_between` rounds with an outer step: theta <- theta - nu (theta - w), w <- theta.
"""

from schedules import COPY, ZERO, Await, Compute, Count, Positive, Receive, Send, Start, Table, descend

SOURCE = "a test of a file of one's own"
STATE = {"theta": COPY, "gradient": ZERO}


class Settings(Table):
    rounds: Count = 4
    micro_batches: Count = 3
    rounds_between: Count = 2
    outer_learning_rate: Positive = 0.5


def length(settings, rank):
    return settings.rounds * settings.micro_batches


def updates(settings, rank):
    return settings.rounds


def place(settings, workers):
    return [0, 0, 1]


def streams(worker):
    return {"compute": first_two(worker) if worker.rank == 0 else last(worker)}


def first_two(worker):
    for number in range(worker.settings.rounds):
        forwards, kept, sends = ([], []), [], []
        for k in range(worker.settings.micro_batches):
            data = 1 + 0.1 * (number * worker.settings.micro_batches + k)
            one, _ = yield Compute("forward", stage=0, micro_batch=k, work=forward, inputs=(data,), size=8)
            two, _ = yield Compute("forward", stage=1, micro_batch=k, work=forward, inputs=(one,), size=8)
            handle, _ = yield Start(Send(1, two, k, channel="activations"))
            sends.append(handle)
            kept.append((data, one))
            forwards[0].append(one.rest())
            forwards[1].append(two.rest())
        for k in range(worker.settings.micro_batches):
            behind, _ = yield Receive(1, 8, k, channel="gradients")
            for stage in (1, 0):
                inputs = kept[k][stage], behind
                given, _ = yield Compute("backward", stage=stage, micro_batch=k, work=backward, inputs=inputs, size=8)
                worker.stage(stage).change(accumulate, kept[k][stage], behind)
                behind = given
        yield Await(tuple(sends))
        for stage in (0, 1):
            finish(worker, worker.stage(stage), tuple(forwards[stage]), number)


def last(worker):
    for number in range(worker.settings.rounds):
        forwards, received, sends = [], [], []
        for k in range(worker.settings.micro_batches):
            given, _ = yield Receive(0, 8, k, channel="activations")
            out, _ = yield Compute("forward", stage=2, micro_batch=k, work=forward, inputs=(given,), size=8)
            received.append((given, out))
            forwards.append(out.rest())
        for k, (given, out) in enumerate(received):
            error = worker.stage(2).payload(residual, out, size=8)
            back, _ = yield Compute("backward", stage=2, micro_batch=k, work=backward, inputs=(given, error), size=8)
            worker.stage(2).change(accumulate, given, error)
            handle, _ = yield Start(Send(0, back, k, channel="gradients"))
            sends.append(handle)
        yield Await(tuple(sends))
        finish(worker, worker.stage(2), tuple(forwards), number)


def finish(worker, model, forwards, number):
    model.apply(flush, forwards, len(forwards))
    if (number + 1) % worker.settings.rounds_between == 0:
        outer = model.payload(change, to="theta")
        model.apply(outer_step, outer, worker.settings.outer_learning_rate)


def gain(s):
    return s.xp.tanh(s.xp.mean(s.x, keepdims=True))


def forward(s, given):
    return gain(s) * given if hasattr(given, "dtype") else gain(s) * float(given)


def backward(s, given, behind):
    return behind * gain(s)


def residual(s, out):
    return out - 1


def accumulate(s, given, behind):
    given = float(given) if not hasattr(given, "dtype") else given
    slope = (1 - gain(s) ** 2) / len(s.x)
    s.gradient = s.gradient + behind * given * slope


def flush(s, _, number):
    descend(s, s.gradient / number)
    s.gradient = 0 * s.gradient


def change(s):
    return s.theta - s.x


def outer_step(s, change, rate):
    s.x = s.theta = s.theta - rate * change
