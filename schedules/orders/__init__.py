"""The orders of pipelines: one a schedule, from which its program, its drawing, its text and its times come.

`build(program, workers, micro_batches, **settings)` makes one; `retime` says when its steps begin and end where
messages have a pure latency.
"""

from schedules.orders.build import BUILDERS as BUILDERS
from schedules.orders.build import build as build
from schedules.orders.order import Order as Order
from schedules.orders.order import OrderError as OrderError
from schedules.orders.order import replicated as replicated
from schedules.orders.retime import retime as retime
from schedules.orders.steps import Cell as Cell
from schedules.orders.steps import Pair as Pair
from schedules.orders.steps import Step as Step
from schedules.orders.steps import steps_of as steps_of
from schedules.orders.texts import read_csv as read_csv
from schedules.orders.texts import write_csv as write_csv
