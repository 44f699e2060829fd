"""The network: Equinox modules, their losses, and one compiled epoch of training by Optax.

The same weights, rows, key and plan give the same bits on one machine. Everything that a compiled function depends on
is an argument, so that one compilation serves every epoch, and every training of the same shape in a process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from domain.strategy import Mlp, Model

# Stated, not left to the library's defaults: the bits of a model depend on each of them.
for _option, _value in (
    ("jax_threefry_partitionable", True),
    ("jax_default_prng_impl", "threefry2x32"),
    ("jax_enable_x64", False),
    ("jax_default_matmul_precision", "highest"),
):
    jax.config.update(_option, _value)  # type: ignore[no-untyped-call]

CHUNK = 512
"""Rows that are evaluated at once, the last chunk filled up: a matrix product may round otherwise when it has other
rows beside it, and then what comes later would change what was predicted before."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    # On one thread: a sum split over several rounds otherwise, and the bits would depend on the number of cores.
    options = {"xla_cpu_multi_thread_eigen": False}
    jit: Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]
    jit = eqx.filter_jit(compiler_options=options)  # type: ignore[call-overload]
    return jit(function)


class MlpNetwork(eqx.Module):
    """A feed-forward network over one row of features; dropout after every hidden layer."""

    layers: tuple[eqx.nn.Linear, ...]
    dropout: eqx.nn.Dropout
    activation: Literal["relu", "tanh"] = eqx.field(static=True)

    def __init__(self, architecture: Mlp, inputs: int, outputs: int, key: Array) -> None:
        sizes = (inputs, *architecture.hidden_layers, outputs)
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(
            eqx.nn.Linear(size, following, key=one)
            for size, following, one in zip(sizes, sizes[1:], keys, strict=False)
        )
        self.dropout = eqx.nn.Dropout(architecture.dropout)
        self.activation = architecture.activation

    def __call__(self, row: Array, key: Array | None) -> Array:
        """The outputs for one row, shape (outputs,); without a key nothing is dropped."""
        activate = jax.nn.relu if self.activation == "relu" else jnp.tanh
        keys = [None] * len(self.layers) if key is None else list(jax.random.split(key, len(self.layers)))
        for layer, one in zip(self.layers[:-1], keys, strict=False):
            row = self.dropout(activate(layer(row)), key=one, inference=key is None)
        return self.layers[-1](row)


Network = MlpNetwork


@dataclass(frozen=True)
class Head:
    """What the network's outputs mean.

    classes: outputs of a classification, whose scores a softmax turns into probabilities; 0 for a regression. That
    predicts a return: output * scale + mean, both from train; its losses are in units of scale squared.
    """

    classes: int
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a row."""
        return self.classes or 1


@dataclass(frozen=True)
class Plan:
    """How the network is trained: all that the compiled epoch is made for."""

    head: Head
    loss: Literal["cross_entropy", "focal", "huber", "mse"]
    focal_gamma: float
    huber_delta: float
    batch_size: int
    gradient_clip: float | None


class Rows(eqx.Module):
    """Rows of one part: features (rows, features) and targets (rows,), classes as int32 or returns as float32."""

    features: Array
    targets: Array


class EpochResult(eqx.Module):
    """After an epoch, without dropout: both losses, and the predictions for every row of both parts."""

    train_loss: Array
    validation_loss: Array
    train_predictions: Array
    validation_predictions: Array


def make_network(architecture: Model, inputs: int, head: Head, key: Array) -> Network:
    """A network with fresh weights. Only an mlp is built; other architectures are refused before."""
    if not isinstance(architecture, Mlp):
        raise TypeError(f"no network for {architecture.type}")
    return MlpNetwork(architecture, inputs, head.outputs, key)


def make_optimizer(plan: Plan) -> optax.GradientTransformation:
    """Adam, after clipping where it is asked for; the learning rate is applied by the epoch."""
    clip = () if plan.gradient_clip is None else (optax.clip_by_global_norm(plan.gradient_clip),)
    return optax.chain(*clip, optax.scale_by_adam())


def predictions(head: Head, outputs: Array) -> Array:
    """What the network says: class probabilities (rows, classes), or returns (rows,)."""
    if head.classes:
        return jnp.exp(_log_probabilities(outputs))
    return _returns(head, outputs)


def losses(plan: Plan, outputs: Array, targets: Array) -> Array:
    """The loss of each row, shape (rows,), from the network's outputs."""
    if plan.head.classes:
        return class_losses(plan, _log_probabilities(outputs), targets)
    return return_losses(plan, _returns(plan.head, outputs), targets)


def class_losses(plan: Plan, log_probabilities: Array, targets: Array) -> Array:
    """Cross entropy, or focal loss: -(1 - p)^gamma log p, with p the probability of the true class."""
    true = jnp.take_along_axis(log_probabilities, targets[:, None], axis=1)[:, 0]
    if plan.loss == "cross_entropy":
        return -true
    # Not quite 0, where a power below 1 has no derivative.
    doubt = jnp.maximum(-jnp.expm1(true), 1e-7)
    return -(doubt**plan.focal_gamma) * true


def return_losses(plan: Plan, predicted: Array, targets: Array) -> Array:
    """Squared or Huber loss of returns in units of their scale in train; huber_delta is a return."""
    error = (predicted - targets) / plan.head.scale
    if plan.loss == "mse":
        return jnp.square(error)
    each: Array = optax.losses.huber_loss(error, delta=plan.huber_delta / plan.head.scale)
    return each


@_compiled
def run_epoch(
    network: Network,
    optimizer_state: optax.OptState,
    train: Rows,
    validation: Rows,
    key: Array,
    learning_rate: Array,
    plan: Plan,
) -> tuple[Network, optax.OptState, EpochResult]:
    """One epoch over shuffled batches as one compiled scan, and then both parts evaluated."""
    weights, still = eqx.partition(network, eqx.is_inexact_array)
    optimizer = make_optimizer(plan)
    order_key, dropout_key = jax.random.split(key)
    batches = _batches(order_key, train.targets.shape[0], plan.batch_size)

    def batch_loss(weights: Network, rows: Array, mask: Array, key: Array) -> Array:
        each = jax.vmap(eqx.combine(weights, still))(train.features[rows], jax.random.split(key, rows.shape[0]))
        return jnp.sum(losses(plan, each, train.targets[rows]) * mask) / jnp.sum(mask)

    def step(
        carry: tuple[Network, optax.OptState], batch: tuple[Array, Array, Array]
    ) -> tuple[tuple[Network, optax.OptState], None]:
        weights, state = carry
        gradient = jax.grad(batch_loss)(weights, *batch)
        updates, state = optimizer.update(gradient, state)
        updates = jax.tree.map(lambda update: -learning_rate * update, updates)
        return (optax.apply_updates(weights, updates), state), None

    keys = jax.random.split(dropout_key, batches[0].shape[0])
    (weights, optimizer_state), _ = jax.lax.scan(step, (weights, optimizer_state), (*batches, keys))
    network = eqx.combine(weights, still)
    return network, optimizer_state, _evaluate(network, train, validation, plan)


@_compiled
def forward(network: Network, features: Array, head: Head) -> Array:
    """The predictions for rows of features, without dropout."""
    return predictions(head, _outputs(network, features))


def _evaluate(network: Network, train: Rows, validation: Rows, plan: Plan) -> EpochResult:
    on_train, on_validation = _outputs(network, train.features), _outputs(network, validation.features)
    return EpochResult(
        train_loss=jnp.mean(losses(plan, on_train, train.targets)),
        validation_loss=jnp.mean(losses(plan, on_validation, validation.targets)),
        train_predictions=predictions(plan.head, on_train),
        validation_predictions=predictions(plan.head, on_validation),
    )


def _outputs(network: Network, features: Array) -> Array:
    """The outputs for every row, CHUNK rows at a time: memory for the widest layer is that of one chunk."""
    rows, width = features.shape
    count = -(-rows // CHUNK)
    chunks = jnp.pad(features, ((0, count * CHUNK - rows), (0, 0))).reshape(count, CHUNK, width)
    outputs: Array = jax.lax.map(jax.vmap(lambda row: network(row, None)), chunks)
    return outputs.reshape(count * CHUNK, -1)[:rows]


def _batches(key: Array, rows: int, batch_size: int) -> tuple[Array, Array]:
    """Row numbers in a new order, (batches, batch), and a mask of 0 where the last batch is filled up."""
    size = min(batch_size, rows)
    count = -(-rows // size)
    order = jnp.pad(jax.random.permutation(key, rows), (0, count * size - rows))
    mask = jnp.pad(jnp.ones(rows), (0, count * size - rows))
    return order.reshape(count, size), mask.reshape(count, size)


def _log_probabilities(outputs: Array) -> Array:
    return jax.nn.log_softmax(outputs, axis=-1)


def _returns(head: Head, outputs: Array) -> Array:
    return outputs[..., 0] * head.scale + head.mean
