"""How far a simulated series lies from an observed one, and how an observed series is read.

The observed series is a CSV file with one column of time (in the units of `period` steps) and one of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import ReportError
from engine.registry import nearest

FloatArray = NDArray[np.float64]
MOST_ROWS = 100_000


@dataclass(frozen=True)
class Series:
    """An observed series.

    Attributes:
        steps: Step of the run that each value belongs to, ascending, int64 (n,).
        values: Observed values, float64 (n,), finite.
        name: Column of the values.
    """

    steps: NDArray[np.int64]
    values: FloatArray
    name: str


@dataclass(frozen=True)
class ForecastError:
    """How far predictions lie from what was observed.

    Attributes:
        rmse: Root of the mean squared error, in the unit of the values.
        mae: Mean absolute error, likewise.
        nrmse: RMSE over the mean of the observed absolute values.
        n: Number of values compared.
    """

    rmse: float
    mae: float
    nrmse: float
    n: int


def forecast_error(predicted: FloatArray, observed: FloatArray) -> ForecastError:
    """Return RMSE, MAE and NRMSE of predictions.

    Source: Hyndman and Koehler (2006), International Journal of Forecasting 22, section 2; RMSE over the mean as in
    AgentTorch's forecasts (Chopra et al. 2024, 2409.10568).
    """
    if not observed.size:
        return ForecastError(float("nan"), float("nan"), float("nan"), 0)
    gap = np.asarray(predicted, np.float64) - observed
    rmse, scale = float(np.sqrt(np.mean(gap**2))), float(np.mean(np.abs(observed)))
    return ForecastError(rmse, float(np.mean(np.abs(gap))), rmse / scale if scale > 0 else float("nan"), observed.size)


def read_series(path: Path, *, time: str | None = None, value: str | None = None, period: int = 7) -> Series:
    """Read an observed series from a CSV file.

    Args:
        path: The file, with a header.
        time: Column of the time, whole numbers; None takes the first one.
        value: Column of the values; None takes the second one.
        period: Steps of the run per unit of time, for example 7 where the file counts weeks and a step is a day.

    Raises:
        ReportError: no such file or column, too few rows, or values that are missing, not numbers or out of order.
    """
    where = f"({path.name})"
    try:
        frame = pl.read_csv(path, n_rows=MOST_ROWS + 1)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ReportError(f"the series cannot be read: {error} {where}") from error
    if frame.width < 2 or not 3 <= frame.height <= MOST_ROWS:
        raise ReportError(
            f"the series has {frame.height} rows and {frame.width} columns; it needs 3 to {MOST_ROWS} rows, a column "
            f"of time and one of values {where}"
        )
    names = [time or frame.columns[0], value or frame.columns[1]]
    for name in names:
        if name not in frame.columns:
            raise ReportError(f"'{name}' is not a column of the series{nearest(name, frame.columns)} {where}")
        if not frame[name].dtype.is_numeric() or frame[name].null_count():
            raise ReportError(f"the column '{name}' must hold a number in every row {where}")
    times, values = frame[names[0]].to_numpy().astype(np.float64), frame[names[1]].to_numpy().astype(np.float64)
    if np.any(times != np.rint(times)) or np.any(np.diff(times) <= 0) or times[0] < 0:
        raise ReportError(f"'{names[0]}' must hold ascending whole numbers from 0 {where}")
    if not np.all(np.isfinite(values)):
        raise ReportError(f"'{names[1]}' holds values that are not finite {where}")
    return Series(times.astype(np.int64) * period, values, names[1])
