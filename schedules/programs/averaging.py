"""The mean of what all workers send: what the schedules that average share.

Without a codec it is an all-reduce, which adds up on the way. What is encoded cannot be added: a worker encodes, all
gather the bytes of all, and each decodes them and takes the mean,

  c_i = encode(v_i + e_i);  e_i <- v_i + e_i - decode(c_i)  (with error feedback);  mean = (1/n) sum_j decode(c_j).

Encoding and decoding are computations, `encode` and `decode`, of a worker's engine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from schedules import (
    COPY,
    ZERO,
    AllGather,
    AllReduce,
    Array,
    Arrivals,
    Await,
    Compute,
    Handle,
    Operation,
    Payload,
    Rule,
    Start,
    State,
    StreamKey,
    Vector,
    Worker,
)
from schedules.training import codecs, coding

Averaging = Generator[Operation, Any, Payload]

Codec = coding.CodecKey
"""The key `codec` of a schedule that averages."""

NONE = coding.CodecTable()


class Begun(NamedTuple):
    """What is on its way to all."""

    handle: Handle
    payload: Payload


def vectors(*, of_parameters: bool = False, **own: Vector) -> Callable[[Any], dict[str, Vector]]:
    """What a worker keeps beside x: what its program declares, and what its codec needs.

    Args:
        of_parameters: whether it is parameters that the program averages: a codec sends how they differ from those that
            were common last, which are kept.
    """

    def declared(settings: Any) -> dict[str, Vector]:
        is_since = of_parameters and settings.codec.name != codecs.NONE
        return own | residual(settings) | ({"common": COPY} if is_since else {})

    return declared


def residual(settings: Any) -> dict[str, Vector]:
    """e, where errors are fed back."""
    return {"residual": ZERO} if settings.codec.error_feedback else {}


def averaged(worker: Worker, payload: Payload) -> Averaging:
    """The mean of the payloads of all, with the facts of the worker's own; waits for it."""
    codec = worker.settings.codec.codec
    if codec is None:
        mean: Payload
        mean, _ = yield AllReduce(payload)
        return mean
    encoded = yield from _encoded(worker, codec, payload, None)
    gathered, _ = yield AllGather(encoded)
    return (yield from _decoded(worker, codec, payload, gathered))


def begin(worker: Worker, payload: Payload, tag: int = 0, pieces: Sequence[slice] | None = None) -> Any:
    """Send it, and go on; `arrived` waits for the mean.

    Args:
        pieces: where it lies in a vector as long as x, in bytes; None: it is as long.
    """
    codec = worker.settings.codec.codec
    if codec is None:
        handle, _ = yield Start(AllReduce(payload, tag=tag))
    else:
        encoded = yield from _encoded(worker, codec, payload, pieces)
        handle, _ = yield Start(AllGather(encoded, tag=tag))
    return Begun(handle, payload)


def arrived(worker: Worker, begun: Sequence[Begun]) -> Generator[Operation, Any, tuple[Payload, ...]]:
    """The means of what was begun, when all have arrived."""
    arrivals: Arrivals
    arrivals, _ = yield Await(tuple(each.handle for each in begun))
    codec = worker.settings.codec.codec
    if codec is None:
        return arrivals.results
    means = []
    for each, gathered in zip(begun, arrivals.results, strict=True):
        means.append((yield from _decoded(worker, codec, each.payload, gathered)))
    return tuple(means)


def own(s: State) -> Array:
    """x."""
    return s.x


def parameters(worker: Worker, rule: Rule = own, *arguments: object) -> Averaging:
    """The mean of parameters, rule(s, ...), over the workers: a codec encodes how they differ from those that were
    common last."""
    model = worker.model
    if worker.settings.codec.codec is None:
        return (yield from averaged(worker, model.payload(rule, *arguments, kind="average")))
    change = yield from averaged(worker, model.payload(since, rule, *arguments, kind="average"))
    model.change(meet, change)
    return model.payload(common, of=change)


def _encoded(worker: Worker, codec: codecs.Codec, payload: Payload, pieces: Sequence[slice] | None) -> Averaging:
    """What is sent: bytes, with the facts of what they stand for."""
    model, is_fed_back = worker.model, worker.settings.codec.error_feedback
    number = model.issued["encode"]
    model.issued["encode"] += 1
    generator = worker.random(StreamKey.CODEC, number) if codec.is_random and model.is_numeric else None
    size = codec.size(payload.size // worker.item_size)
    inputs = codec, payload, generator, pieces if pieces is not None or not is_fed_back else [slice(0, model.size)]
    encoded, _ = yield Compute("encode", inputs=inputs, size=size, work=encode)
    if is_fed_back:
        model.change(keep, encoded.kept, inputs[3])
    return model.payload(itself, encoded, size=size, of=payload, number=payload.number)


def _decoded(worker: Worker, codec: codecs.Codec, payload: Payload, gathered: Payload) -> Averaging:
    """The mean of what all have sent."""
    inputs = codec, gathered, payload.size // worker.item_size
    decoded, _ = yield Compute("decode", inputs=inputs, size=payload.size, work=decode)
    return worker.model.payload(itself, decoded, size=payload.size, of=payload, number=payload.number)


# ------------------------------------------------------------------ the rules


def encode(s: State, codec: codecs.Codec, vector: Array, generator: Any, pieces: Sequence[slice] | None) -> Any:
    """c = encode(v + e), and what e becomes."""
    xp = s.xp
    if "residual" in s.vectors():
        vector = vector + xp.concat([s.residual[each] for each in numbers(s, pieces or ())])
    sent = xp.astype(vector, xp.float32)
    encoded = codec.encode(sent, generator)
    if "residual" not in s.vectors():
        return encoded
    return encoded, vector - xp.astype(codec.decode(encoded, len(sent)), vector.dtype)


def decode(s: State, codec: codecs.Codec, gathered: Array, num_params: int) -> Array:
    """(1/n) sum_j decode(c_j), in the order of the ranks."""
    xp, size, total = s.xp, codec.size(num_params), 0.0
    for rank in range(s.num_workers):
        encoded = xp.asarray(gathered[rank * size : (rank + 1) * size], copy=True)  # aligned, for views of other dtypes
        total = total + xp.astype(codec.decode(encoded, num_params), s.x.dtype)
    return total / s.num_workers


def keep(s: State, residual: Array, pieces: Sequence[slice]) -> None:
    """e <- v + e - decode(c), in its places."""
    found, begin = s.residual + 0, 0  # a new vector, which may be written to
    for each in numbers(s, pieces):
        end = begin + each.stop - each.start
        found[each] = residual[begin:end]
        begin = end
    s.residual = found


def since(s: State, rule: Rule, *arguments: Any) -> Array:
    """How rule(s, ...) differs from the parameters that were common last."""
    return rule(s, *arguments) - s.common


def meet(s: State, change: Array) -> None:
    """The parameters that are common now."""
    s.common = s.common + change


def common(s: State) -> Array:
    """The parameters that were common last."""
    return s.common


def itself(s: State, array: Array) -> Array:
    """What was computed, to be sent or applied."""
    return array


def numbers(s: State, pieces: Sequence[slice]) -> list[slice]:
    """Slices of bytes as those of numbers."""
    return [slice(each.start // s.x.itemsize, each.stop // s.x.itemsize) for each in pieces]
