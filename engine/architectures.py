"""The networks: Equinox modules over a window of rows, one for each architecture of the grammar."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from domain.strategy import Mlp, Model, Recurrent


class MlpNetwork(eqx.Module):
    """A feed-forward network over one row of features; dropout after every hidden layer."""

    layers: tuple[eqx.nn.Linear, ...]
    dropout: float = eqx.field(static=True)
    activation: Literal["relu", "tanh"] = eqx.field(static=True)
    sequence_length: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(self, architecture: Mlp, inputs: int, outputs: int, key: Array) -> None:
        sizes = (inputs, *architecture.hidden_layers, outputs)
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(
            eqx.nn.Linear(size, following, key=one)
            for size, following, one in zip(sizes, sizes[1:], keys, strict=False)
        )
        self.dropout = architecture.dropout
        self.activation = architecture.activation
        self.sequence_length = 1
        self.outputs = outputs

    def __call__(self, window: Array, noise: Array | None) -> Array:
        """The outputs, shape (outputs,), for the last row of a window (rows, features).

        noise: numbers from 0 to 1 of `noise_shape`, which say what is dropped; without them nothing is.
        """
        row, drawn = window[-1], 0
        activate = jax.nn.relu if self.activation == "relu" else jnp.tanh
        for layer in self.layers[:-1]:
            row = activate(layer(row))
            if noise is not None:
                row = _drop(row, noise[drawn : drawn + len(row)], self.dropout)
                drawn += len(row)
        return self.layers[-1](row)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """How much chance the dropout of one row takes."""
        return (sum(layer.weight.shape[0] for layer in self.layers[:-1]),)


class RecurrentNetwork(eqx.Module):
    """LSTM or GRU layers over a window of rows, from nothing remembered; the outputs are of the last row's state.
    Dropout after every layer, on the state that it hands on.
    """

    cells: tuple[eqx.nn.LSTMCell | eqx.nn.GRUCell, ...]
    last: eqx.nn.Linear
    dropout: float = eqx.field(static=True)
    sequence_length: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(self, architecture: Recurrent, inputs: int, outputs: int, key: Array) -> None:
        cell = eqx.nn.LSTMCell if architecture.type == "lstm" else eqx.nn.GRUCell
        size = architecture.hidden_size
        *keys, last_key = jax.random.split(key, architecture.num_layers + 1)
        self.cells = tuple(cell(size if at else inputs, size, key=one) for at, one in enumerate(keys))
        self.last = eqx.nn.Linear(size, outputs, key=last_key)
        self.dropout = architecture.dropout
        self.sequence_length = architecture.sequence_length
        self.outputs = outputs

    def __call__(self, window: Array, noise: Array | None) -> Array:
        """The outputs, shape (outputs,), for a window (sequence_length, features); noise as for an mlp."""
        for number, cell in enumerate(self.cells):
            window = _run(cell, window)
            if noise is not None:
                window = _drop(window, noise[number], self.dropout)
        return self.last(window[-1])

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """How much chance the dropout of one window takes."""
        return (len(self.cells), self.sequence_length, self.cells[0].hidden_size)


def _drop(values: Array, noise: Array, share: float) -> Array:
    return jnp.where(noise < share, 0.0, values / (1.0 - share))


def _run(cell: eqx.nn.LSTMCell | eqx.nn.GRUCell, window: Array) -> Array:
    """The state after each row, shape (rows, hidden)."""
    nothing = jnp.zeros(cell.hidden_size)
    if isinstance(cell, eqx.nn.LSTMCell):

        def remember(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
            carry = cell(row, carry)
            return carry, carry[0]

        return jax.lax.scan(remember, (nothing, nothing), window)[1]

    def recall(state: Array, row: Array) -> tuple[Array, Array]:
        state = cell(row, state)
        return state, state

    return jax.lax.scan(recall, nothing, window)[1]


Network = MlpNetwork | RecurrentNetwork


def make_network(architecture: Model, inputs: int, outputs: int, key: Array) -> Network:
    """A network with fresh weights."""
    if isinstance(architecture, Mlp):
        return MlpNetwork(architecture, inputs, outputs, key)
    return RecurrentNetwork(architecture, inputs, outputs, key)


def skeleton(architecture: Model, inputs: int, outputs: int) -> Network:
    """A network with the shapes of arrays in place of the arrays."""
    shapes: Network = eqx.filter_eval_shape(make_network, architecture, inputs, outputs, jax.random.key(0))
    return shapes


Layer = eqx.nn.Linear | eqx.nn.LSTMCell | eqx.nn.GRUCell


def is_layer(node: object) -> bool:
    """Whether a part of a network has weights of its own, all drawn from one range."""
    return isinstance(node, Layer)
