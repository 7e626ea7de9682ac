"""Optimizers on flat vectors: their methods, learning rates, clipping and decay, from one import."""

from schedules.training.optimizers.clipping import squared_norm
from schedules.training.optimizers.decay import undecayed
from schedules.training.optimizers.learning_rate import LearningRate
from schedules.training.optimizers.optimizer import Optimizer, adamw, sgd

__all__ = ["LearningRate", "Optimizer", "adamw", "sgd", "squared_norm", "undecayed"]
