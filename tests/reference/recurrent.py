"""Slow twins of the recurrent cells: one sequence, one time step, one gate at a time, in float64."""

from __future__ import annotations

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(sequence, kernel, recurrent_kernel, bias):
    """All h (T, U), and the last c, of an LSTM with gates in the order i, f, g, o."""
    units = len(recurrent_kernel)
    gate = [slice(n * units, (n + 1) * units) for n in range(4)]
    h, c, states = np.zeros(units), np.zeros(units), []
    for x in np.asarray(sequence, np.float64):
        i, f, g, o = (x @ kernel[:, s] + h @ recurrent_kernel[:, s] + bias[s] for s in gate)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states).reshape(-1, units), c


def gru(sequence, kernel, recurrent_kernel, bias, recurrent_bias):
    """All h (T, U) of a GRU with gates in the order z, r, g and the reset after the product."""
    units = len(recurrent_kernel)
    z_, r_, g_ = (slice(n * units, (n + 1) * units) for n in range(3))
    h, states = np.zeros(units), []
    for x in np.asarray(sequence, np.float64):
        z = sigmoid(x @ kernel[:, z_] + bias[z_] + h @ recurrent_kernel[:, z_] + recurrent_bias[z_])
        r = sigmoid(x @ kernel[:, r_] + bias[r_] + h @ recurrent_kernel[:, r_] + recurrent_bias[r_])
        g = np.tanh(x @ kernel[:, g_] + bias[g_] + r * (h @ recurrent_kernel[:, g_] + recurrent_bias[g_]))
        h = z * h + (1 - z) * g
        states.append(h)
    return np.array(states).reshape(-1, units)
