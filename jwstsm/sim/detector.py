"""From a charge rate to the counts in the file: one small function per effect, in the order of the light path.

Two chains say what happens and in which order: :data:`COLLECT` while the detector exposes, :data:`READ` when a frame
is read. An effect is a function of the exposing :class:`Pixels` (and, in the second chain, of the plane of counts);
adding one is writing the function and naming it in the chain of the detectors that have it.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.sim import cosmic_rays, interleaving, miri_chain, rng
from jwstsm.sim.chip import ADC_MAX, Chip
from jwstsm.sim.exposing import Effects, Exposed, Pixels, Readout
from jwstsm.sim.frames import frame_shape, lay_out
from jwstsm.sim.instruments import INSTRUMENTS
from jwstsm.sim.noise import amplifier_slices, flicker_frame

__all__ = ["Effects", "Exposed", "Readout", "expose"]


# ---- while exposing -------------------------------------------------------------------------------------------


def collect_charge(pixels: Pixels, interval_s: float) -> None:
    """Photons and dark current: Poisson in every interval, so that the counts of a ramp accumulate."""
    if pixels.effects.charge_migration > 0:
        pixels.before = pixels.charge.copy()
    if pixels.effects.poisson:
        stream = rng.key(pixels.seed, "photons", pixels.integration, pixels.frame)
        rng.accumulate_poisson(pixels.charge, pixels.rate, interval_s, stream)
    else:
        pixels.charge += pixels.rate * np.float32(interval_s)


def migrate_charge(pixels: Pixels, interval_s: float) -> None:
    """Brighter-fatter effect: in a pixel that is nearly full, new charge is pushed into the four neighbours."""
    if pixels.effects.charge_migration <= 0:
        return
    new = np.maximum(pixels.charge - np.maximum(pixels.before, pixels.effects.migration_level_e), 0)
    moved = new * np.float32(pixels.effects.charge_migration)
    # nothing leaves towards reference pixels or over the edge
    light = ~pixels.reference
    for here, there in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        step = moved[here] * (light[here] & light[there])
        pixels.charge[here] -= step
        pixels.charge[there] += step


def hit_by_cosmic_rays(pixels: Pixels, interval_s: float) -> None:
    """Tracks of particles."""
    rate = pixels.effects.cosmic_rays_cm2_s
    if rate <= 0:
        return
    stream = rng.key(pixels.seed, "cosmic rays", pixels.integration, pixels.frame)
    y, x, electrons = cosmic_rays.draw_tracks(pixels.chip, interval_s, rate, stream)
    pixels.charge[y, x] += electrons.astype(np.float32)
    pixels.hits.add(pixels.integration, pixels.group, y, x, electrons)


def hit_by_snowballs(pixels: Pixels, interval_s: float) -> None:
    """Large events with saturated cores."""
    rate = pixels.effects.snowballs_s
    if rate <= 0:
        return
    for y, x, electrons, shape in cosmic_rays.draw_snowballs(pixels.chip, interval_s, rate, pixels.generator("snowballs")):
        pixels.charge[y, x] += electrons.astype(np.float32)
        pixels.hits.add(pixels.integration, pixels.group, y, x, electrons)
        pixels.hits.snowballs.append((pixels.integration, pixels.group, *shape))


def release_traps(pixels: Pixels, interval_s: float) -> None:
    """Persistence: traps filled in earlier integrations give their charge back, exponentially with 200 s."""
    if pixels.trapped is None:
        return
    released = pixels.trapped * np.float32(1 - np.exp(-interval_s / 200.0))
    pixels.trapped -= released
    pixels.charge += released


def fill_wells(pixels: Pixels, interval_s: float) -> None:
    """Charge beyond the full well is lost."""
    np.minimum(pixels.charge, pixels.chip.full_well, out=pixels.charge)


# ---- when a frame is read -------------------------------------------------------------------------------------


@njit(parallel=True)
def _share(charge, reference, alpha, out):
    """Let each pixel show ``alpha`` of each of its four neighbours; reference pixels take no part."""
    ny, nx = charge.shape
    for y in prange(ny):
        for x in range(nx):
            if reference[y, x]:
                out[y, x] = charge[y, x]
                continue
            centre = charge[y, x]
            total = 0.0
            for k in range(4):
                yy = y + (1 if k == 0 else -1 if k == 1 else 0)
                xx = x + (1 if k == 2 else -1 if k == 3 else 0)
                if 0 <= yy < ny and 0 <= xx < nx and not reference[yy, xx]:
                    total += charge[yy, xx] - centre
            out[y, x] = np.float32(centre + alpha * total)


def couple_neighbours(pixels: Pixels, plane: np.ndarray) -> None:
    """Inter-pixel capacitance: the voltage of a pixel shows a part of its neighbours' charge (no Poisson noise)."""
    if pixels.effects.ipc and pixels.chip.ipc > 0:
        _share(pixels.charge, pixels.reference, pixels.chip.ipc, plane)
    else:
        plane[...] = pixels.charge


@njit(parallel=True)
def _respond(plane, gain, quadratic, cubic, nonlinear):
    """Charge [e-] -> measured DN: divide by the gain and invert x + q x**2 + c x**3."""
    ny, nx = plane.shape
    for y in prange(ny):
        for x in range(nx):
            linear = np.float64(plane[y, x]) / gain[y, x]
            if nonlinear:
                q, c = np.float64(quadratic[y, x]), np.float64(cubic[y, x])
                signal = linear - q * linear * linear
                for _ in range(4):
                    value = signal + signal * signal * (q + c * signal)
                    signal -= (value - linear) / (1.0 + signal * (2.0 * q + 3.0 * c * signal))
                linear = signal
            plane[y, x] = np.float32(linear)


def convert_to_counts(pixels: Pixels, plane: np.ndarray) -> None:
    """Gain and the classical nonlinearity of the pixel's capacitance."""
    chip = pixels.chip
    _respond(plane, chip.gain, chip.quadratic, chip.cubic, pixels.effects.nonlinearity)


def convert_level_to_counts(pixels: Pixels, plane: np.ndarray) -> None:
    """Gain and nonlinearity where the bias passes through the same response as the charge."""
    plane += (pixels.chip.bias + pixels.pedestal) * pixels.chip.gain
    convert_to_counts(pixels, plane)


def add_bias(pixels: Pixels, plane: np.ndarray) -> None:
    """Superbias and the pedestal of this integration's reset."""
    plane += pixels.chip.bias
    plane += pixels.pedestal


def add_amplifier_drift(pixels: Pixels, plane: np.ndarray) -> None:
    """Level of each amplifier and of its odd and even columns wander.

    Where no reference pixel is read, nothing could tell the drift from light: it is left out there, so that rates can
    be compared with the truth.
    """
    if not pixels.has_reference:
        return
    generator = pixels.generator("drift")
    steps = np.array([[pixels.effects.amplifier_drift_dn], [pixels.effects.odd_even_drift_dn]], float)
    steps *= np.sqrt(pixels.interval_s / 10.0)
    pixels.amplifier_level += steps * generator.standard_normal(pixels.amplifier_level.shape)
    view = pixels.readout_view(plane)
    for k, columns in enumerate(amplifier_slices(view.shape[1], pixels.chip.outputs)):
        level, parity = pixels.amplifier_level[:, k]
        view[:, columns][:, 0::2] += np.float32(level + 0.5 * parity)
        view[:, columns][:, 1::2] += np.float32(level - 0.5 * parity)


def add_flicker(pixels: Pixels, plane: np.ndarray) -> None:
    """1/f noise: a part common to all amplifiers and a part of each."""
    effects = pixels.effects
    if effects.flicker_dn <= 0 and effects.common_flicker_dn <= 0:
        return
    view = pixels.readout_view(plane)
    columns = amplifier_slices(view.shape[1], pixels.chip.outputs)
    shape = view[:, columns[0]].shape
    generator = pixels.generator("flicker")
    common = flicker_frame(shape, generator) * np.float32(effects.common_flicker_dn)
    for part in columns:
        view[:, part] += common
        view[:, part] += flicker_frame(shape, generator) * np.float32(effects.flicker_dn)


def add_telegraph(pixels: Pixels, plane: np.ndarray) -> None:
    """Random telegraph pixels jump between two levels."""
    y, x = pixels.telegraph
    plane[y, x] += pixels.effects.telegraph_dn * (pixels.generator("telegraph").random(len(y)) < 0.3)


def add_read_noise(pixels: Pixels, plane: np.ndarray) -> None:
    """White noise of one read."""
    if pixels.effects.read_noise > 0:
        noise = pixels.generator("read").standard_normal(plane.shape, dtype=np.float32)
        noise *= pixels.chip.read_noise
        noise /= pixels.chip.gain
        plane += noise * np.float32(pixels.effects.read_noise)


COLLECT = {
    "H2RG": (collect_charge, migrate_charge, hit_by_cosmic_rays, hit_by_snowballs, release_traps, fill_wells),
    "SIAS": (collect_charge, hit_by_cosmic_rays, miri_chain.hit_by_showers, fill_wells),
}
READ = {
    "H2RG": (
        couple_neighbours,
        convert_to_counts,
        add_bias,
        add_amplifier_drift,
        add_flicker,
        add_telegraph,
        add_read_noise,
    ),
    "SIAS": (
        couple_neighbours,
        convert_level_to_counts,
        miri_chain.add_interleaved_drift,
        miri_chain.add_settling,
        miri_chain.draw_last_frame,
        miri_chain.hear_interference,
        add_telegraph,
        add_read_noise,
    ),
}

# the noise of the outputs comes with the interleaved reference pixels
READ |= dict.fromkeys(
    interleaving.PATTERNS, (couple_neighbours, convert_to_counts, add_bias, add_telegraph, add_read_noise)
)
"""Kind of detector array, or read pattern that has a chain of its own -> effects of a read."""


# ---- a whole exposure -----------------------------------------------------------------------------------------


def reset(pixels: Pixels, integration: int) -> None:
    """Empty the pixels: traps keep a share of the charge, the reset leaves a noisy pedestal."""
    shape = pixels.rate.shape
    if pixels.effects.persistence > 0 and pixels.charge is not None:
        kept = pixels.charge * np.float32(pixels.effects.persistence)
        pixels.trapped = kept if pixels.trapped is None else pixels.trapped + kept
    pixels.integration, pixels.frame = integration, 0
    pixels.charge = np.zeros(shape, np.float32)
    noise = pixels.generator("reset").standard_normal(shape, dtype=np.float32)
    pixels.pedestal = noise * np.float32(pixels.effects.reset_noise_dn)
    if pixels.amplifier_level is None:
        pixels.amplifier_level = np.zeros((2, pixels.chip.outputs))


def digitise(plane: np.ndarray) -> np.ndarray:
    """Round to the A/D converter's steps; (ny, nx) uint16, clipped to 0 .. 65535."""
    np.rint(plane, out=plane)
    return np.clip(plane, 0, ADC_MAX, out=plane).astype(np.uint16)


def expose(chip: Chip, light: np.ndarray, readout: Readout, effects: Effects, seed: int) -> Exposed:
    """Simulate one exposure.

    Parameters
    ----------
    chip : Chip
        The detector.
    light : (ny, nx) float32 ndarray
        Charge rate from light [e-/s], the chip's response included.
    readout : Readout
    effects : Effects
    seed : int
        Seed of this exposure's noise.

    Returns
    -------
    Exposed
        The counts and the truth about particles.
    """
    rate = light + chip.dark if effects.dark else light
    pixels = Pixels(chip, effects, np.ascontiguousarray(rate, np.float32), seed, readout)
    shape = frame_shape(readout, pixels)
    data = np.empty((readout.nints, readout.ngroups, *shape), np.uint16)
    zero = np.empty((readout.nints, *shape), np.uint16) if readout.zero_frame else None
    chain = INSTRUMENTS[chip.row.instrument].chain
    collect, read = COLLECT[chain], READ.get(readout.readpatt, READ[chain])
    plane = np.empty(chip.region.shape, np.float32)
    for integration in range(readout.nints):
        reset(pixels, integration)
        for group in range(readout.ngroups):
            pixels.group = group
            total = np.zeros(shape, np.uint32) if readout.nframes > 1 else None
            for read_number in range(readout.nframes):
                skipped = readout.groupgap if group and not read_number else 0
                pixels.interval_s = (1 + skipped) * readout.frame_s
                for effect in collect:
                    effect(pixels, pixels.interval_s)
                for effect in read:
                    effect(pixels, plane)
                counts = digitise(lay_out(pixels, plane))
                if zero is not None and group == 0 and read_number == 0:
                    zero[integration] = counts
                if total is None:
                    data[integration, group] = counts
                else:
                    total += counts
                pixels.frame += 1
            if total is not None:
                # the on-board computer divides integers
                data[integration, group] = total // readout.nframes
    return Exposed(data, zero, pixels.hits)
