"""World coordinates of NIRSpec images: detector -> sca -> gwa -> msa -> oteip -> v2v3 -> v2v3vacorr -> world.

With the mirror in the grating wheel NIRSpec is a camera. Light is followed back from the detector through the camera
optics, the wheel (whose tilt is measured in every exposure), the collimator, the plane of the shutters, the fore optics
and the telescope. With the filter OPAQUE there is no sky behind the shutters, and the chain ends there.

Source: frames and conventions of the official ``assign_wcs`` for NIRSpec imaging.
"""

from __future__ import annotations

import logging
from typing import Any

from jwstsm.errors import ReferenceError_
from jwstsm.wcs import asdftext, codec, imaging
from jwstsm.wcs.model import Wcs, detector_frame, frame2d, plane_frame, sky_frame
from jwstsm.wcs.sphere import CosinesToPlane, PlaneToCosines, WheelRotation
from jwstsm.wcs.transforms import Arithmetic, Const1D, Identity, Mapping, Scale, Shift, Transform, chain, parallel

__all__ = ["EXPOSURES", "nirspec_imaging_wcs", "spectral_range", "wheel_angles"]

log = logging.getLogger(__name__)

EXPOSURES = (
    "NRS_CONFIRM",
    "NRS_FOCUS",
    "NRS_IMAGE",
    "NRS_MIMF",
    "NRS_MSATA",
    "NRS_TACONFIRM",
    "NRS_TACQ",
    "NRS_TASLIT",
    "NRS_VERIFY",
    "NRS_WATA",
)
_WHOLE_RANGE = (-1, (0.6e-6, 5.3e-6))  # order and range where the table knows nothing
_CLOSED = "OPAQUE"
_FLIPPED = {"NRS2": 2047}  # detectors that lie upside down, and their last pixel


def _tree(references, kind: str, product) -> dict[str, Any]:
    reference = references[kind]
    if reference is None:
        raise ReferenceError_(f"{product.name}: no {kind} reference (it is N/A); give one with override_{kind}")
    return imaging.read_tree(reference)


def _model(references, kind: str, product, key: str = "model") -> Transform:
    node = _tree(references, kind, product).get(key)
    if not isinstance(node, asdftext.Tagged):
        raise ReferenceError_(f"reference {kind} of {product.name} has no transform '{key}'; give another one")
    return codec.from_tree(node)


def wheel_angles(disperser: dict[str, Any], x_tilt: float | None, y_tilt: float | None) -> list[float]:
    """Return the angles of the grating wheel's surface about x, y, z, y [deg].

    Parameters
    ----------
    disperser : dict
        Tree of the disperser reference.
    x_tilt, y_tilt : float or None
        Readings of the tilt sensors (``GWA_XTIL``, ``GWA_YTIL``); None: not corrected for.

    Notes
    -----
    A reading is turned into an angle by the polynomial of the reference; half the difference from its zero reading is
    added. The x sensor measures the angle about y and the other way round.
    """
    angles = {name: float(disperser[name]) for name in ("theta_x", "theta_y", "theta_z", "tilt_y")}
    for reading, sensor, angle in ((x_tilt, "gwa_tiltx", "theta_y"), (y_tilt, "gwa_tilty", "theta_x")):
        if reading is None:
            log.info("the grating wheel is not corrected by %s: there is no reading", sensor)
            continue
        model = codec.from_tree(disperser[sensor]["tilt_model"])
        now, zero = (float(model(v)[0]) for v in (float(reading), float(disperser[sensor]["zeroreadings"][0])))
        angles[angle] += 0.5 * (now - zero) / 3600.0
    return list(angles.values())


def spectral_range(table: dict[str, Any], passed: str, grating: str) -> tuple[int, tuple[float, float]]:
    """Return spectral order and wavelength range [m] of what the light passes (filter, or lamp) and a grating."""
    names = [str(name) for name in table["waverange_selector"]]
    wanted = f"{passed}_{grating}"
    if wanted not in names:
        same = [name for name in names if name.split("_")[1] == grating]
        if not same:
            return _WHOLE_RANGE
        log.info("%s is not in the table of wavelength ranges; %s is taken", wanted, same[0])
        wanted = same[0]
    row = names.index(wanted)
    low, high = table["wavelengthrange"][row]
    return int(table["order"][row]), (float(low), float(high))


def _to_sca(product) -> Transform:
    """Pixels of the image -> pixels of the whole detector, in the orientation of its own readout."""
    corner = parallel(Shift(product.readout.xstart - 1.0), Shift(product.readout.ystart - 1.0))
    last = _FLIPPED.get(str(product.require("DETECTOR")))
    if last is None:
        return chain(corner, Identity(2))
    return chain(corner, parallel(Shift(-last), Shift(-last)), parallel(Scale(-1.0), Scale(-1.0)))


def _wheel_to_shutters(angles: list[float], collimator: Transform, wavelength: float) -> Transform:
    """Directions behind the wheel -> place at the shutters [m] and wavelength."""

    def mirror() -> Transform:
        minus = [Arithmetic("multiply", Const1D(-1.0), Identity(1)) for _ in range(2)]
        return parallel(parallel(*minus), Identity(1))

    rotation = WheelRotation(angles, "xyzy").named("rotation").inverse
    back = CosinesToPlane().named("directional_cosines2unitless")
    light = chain(Mapping((0, 1, 1)), parallel(Identity(2), Const1D(wavelength)))
    out = chain(mirror(), rotation, back, collimator, light)
    turned = WheelRotation(angles, "xyzy")
    return out.with_inverse(chain(collimator.inverse, PlaneToCosines(), turned, mirror()))


def _shutters_to_pupil(fore: Transform, wavelength: float) -> Transform:
    """Place at the shutters and wavelength -> place behind the telescope's optics [deg]."""
    forward = chain(chain(Mapping((0, 1, 2, 2)).named("msa2fore_mapping"), parallel(fore, Identity(1))), Mapping((0, 1), 3))
    # the official inverse takes x for the wavelength, and is useless for it
    return forward.with_inverse(chain(Mapping((0, 1, 1)), parallel(Identity(2), Const1D(wavelength)), fore.inverse))


def _named(transform: Transform, name: str, inputs: str, outputs: str) -> Transform:
    transform.name, transform.inputs, transform.outputs = name, tuple(inputs.split()), tuple(outputs.split())
    return transform


def nirspec_imaging_wcs(product, references) -> Wcs:
    """Build the world coordinates of a NIRSpec image.

    Parameters
    ----------
    product : Slope
        Its header gives pointing, detector, window, filter, grating and the tilt of the wheel. ``WAVSTART``, ``WAVEND``
        and ``SPORDER`` are written to its ``SCI`` header.
    references : References
        ``disperser fpa camera collimator wavelengthrange``, and unless the filter is closed ``fore ote``.

    Returns
    -------
    Wcs
        The bounding box is the whole array. With the filter OPAQUE it ends in the frame ``msa``.

    Raises
    ------
    InputError, ReferenceError_
        If a keyword or a reference is missing.
    """
    tilts = (product.key(word, None) for word in ("GWA_XTIL", "GWA_YTIL"))
    angles = wheel_angles(_tree(references, "disperser", product), *tilts)
    passed, grating = str(product.require("FILTER")), str(product.require("GRATING"))
    closed = passed == _CLOSED
    source = str(product.require("LAMP")) if closed else passed
    order, (low, high) = spectral_range(_tree(references, "wavelengthrange", product), source, grating)
    product.sci["WAVSTART"] = (low, "Lower bound of the default wavelength range")
    product.sci["WAVEND"] = (high, "Upper bound of the default wavelength range")
    product.sci["SPORDER"] = (order, "Spectral order")
    # micrometres where the shutters are the last frame
    wavelength = (low + 0.5 * (high - low)) * (1e6 if closed else 1.0)
    detector = str(product.require("DETECTOR")).lower()
    optics = _model(references, "fpa", product, f"{detector}_model"), _model(references, "camera", product)
    to_wheel = chain(
        *optics, PlaneToCosines().named("unitless2directional_cosines"), WheelRotation(angles, "xyzy").named("rotation")
    )
    to_shutters = _wheel_to_shutters(angles, _model(references, "collimator", product), wavelength)
    steps: list[tuple] = [
        (detector_frame(), _named(_to_sca(product), "dms2sca", "x y", "x y")),
        (frame2d("sca", ("x", "y"), "pixel"), _named(to_wheel, "det2gwa", "x y", "angle1 angle2 angle3")),
        (
            frame2d("gwa", ("alpha_in", "beta_in"), "rad"),
            _named(to_shutters, "gwa2msa", "angle1 angle2 angle3", "x_msa y_msa lam"),
        ),
    ]
    shutters = frame2d("msa", ("x_msa", "y_msa"), "m")
    shape = product.data.shape[-2:][::-1]
    if closed:
        return _boxed(Wcs([*steps, (shutters, None)], pixel_shape=shape))
    pointing = imaging.Pointing.from_product(product)
    to_pupil = _shutters_to_pupil(_model(references, "fore", product), wavelength)
    to_field = _named(_model(references, "ote", product), "oteip2v23", "x_ote y_ote", "v2 v3")
    steps += [
        (shutters, _named(to_pupil, "msa2oteip", "x_msa y_msa lam", "x_ote y_ote")),
        (frame2d("oteip", ("x_oteip", "y_oteip"), "deg"), to_field),
        (plane_frame("v2v3"), imaging.aberration(pointing)),
        (plane_frame("v2v3vacorr"), imaging.telescope_to_sky(pointing)),
        (sky_frame(), None),
    ]
    return _boxed(Wcs(steps, pixel_shape=shape))


def _boxed(wcs: Wcs) -> Wcs:
    wcs.bounding_box = tuple((-0.5, n - 0.5) for n in wcs.pixel_shape)
    return wcs
