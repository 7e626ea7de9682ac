"""Pipelines: a model in stages, through which micro-batches go forward and back.

Each schedule is an order (`schedules.orders`): data. One generator walks them all (`walking`); what a rank receives and
hands on at each of its cells is worked out once a run (`tracks`). A program is a row of `flushed`.
"""
