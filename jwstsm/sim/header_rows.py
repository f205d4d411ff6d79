"""Order and comments of the keywords in an uncal file, as rows; a row without keyword is a heading."""

from __future__ import annotations

__all__ = ["PRIMARY", "SCIENCE"]

_PRIMARY = """
DATE|when the file was written (UTC)
ORIGIN|who wrote the file
TIMESYS|time system of the time keywords
TIMEUNIT|unit of times
FILENAME|name of the file
SDP_VER|version of the data processing software
PRD_VER|version of the reference database
OSS_VER|version of the scheduling software
DATAMODL|type of data model
TELESCOP|telescope
HGA_MOVE|did the high-gain antenna move
COMPRESS|was on-board compression used
|Program information
TITLE|title of the proposal
PI_NAME|principal investigator
CATEGORY|program category
SUBCAT|program sub-category
SCICAT|science category
CONT_ID|continuation of an earlier program
|Observation identifiers
DATE-OBS|UTC date of the start of the exposure
TIME-OBS|UTC time of the start of the exposure
DATE-BEG|start of the exposure
DATE-END|end of the exposure
OBS_ID|identifier of the observation
VISIT_ID|identifier of the visit
PROGRAM|program number
OBSERVTN|observation number
VISIT|visit number
VISITGRP|visit group
SEQ_ID|parallel sequence
ACT_ID|activity
EXPOSURE|exposure request number
BKGDTARG|is the target a background
TEMPLATE|observing template
OBSLABEL|label of the observation
|Visit information
ENG_QUAL|quality of the engineering data
ENGQLPTG|quality of the pointing information
VISITYPE|type of visit
VSTSTART|UTC start of the visit
VISITSTA|status of the visit
NEXPOSUR|planned exposures in the visit
INTARGET|is an exposure internal
TARGOOPP|target of opportunity
TSOVISIT|is it a time series
EXP_ONLY|commanded without instrument configuration
CROWDFLD|are the guiders in a crowded field
|Target information
TARGPROP|name given by the proposer
TARGNAME|standard name of the target
TARGTYPE|fixed, moving or generic
TARGETID|number of the target in the program
TARG_RA|[deg] right ascension of the target
TARG_DEC|[deg] declination of the target
TARGURA|[arcsec] uncertainty in right ascension
TARGUDEC|[arcsec] uncertainty in declination
MU_RA|[arcsec/yr] proper motion in right ascension
MU_DEC|[arcsec/yr] proper motion in declination
MU_EPOCH|epoch of the proper motion
PROP_RA|[deg] right ascension in the proposal
PROP_DEC|[deg] declination in the proposal
|Instrument configuration information
INSTRUME|instrument
DETECTOR|detector
MODULE|module
CHANNEL|wavelength channel
FILTER|filter
PUPIL|pupil element
BAND|band of the spectrometer
GRATING|disperser
FXD_SLIT|fixed slit
OPMODE|mode of operation
LAMP|internal lamp
PILIN|is the pupil imaging lens in
|Exposure parameters
EXPCOUNT|running number of the exposure in the visit
EXPRIPAR|prime or parallel
EXP_TYPE|type of exposure
EXPSTART|[d] MJD of the start
EXPMID|[d] MJD of the middle
EXPEND|[d] MJD of the end
OSF_FILE|observatory status file
READPATT|readout pattern
NOUTPUTS|amplifiers used
NINTS|integrations
NGROUPS|groups in an integration
NFRAMES|frames averaged in a group
FRMDIVSR|divisor of the on-board average
GROUPGAP|frames dropped between groups
DRPFRMS1|frames dropped before the first integration
DRPFRMS3|frames dropped between integrations
NSAMPLES|A/D samples of a pixel
TSAMPLE|[us] time between samples
TFRAME|[s] time between frames
TGROUP|[s] time between groups
EFFINTTM|[s] effective integration time
EFFEXPTM|[s] effective exposure time
DURATION|[s] duration of the exposure
NRSTSTRT|resets at the start
NRESETS|resets between integrations
ZEROFRAM|is the first frame kept apart
DATAPROB|problem in the telemetry
SCA_NUM|number of the detector assembly
DATAMODE|on-board processing mode
SCTARATE|[ms/s] clock rate adjustment
IS_PSF|is it a PSF reference
SELFREF|does it serve as its own PSF reference
|Subarray parameters
SUBARRAY|subarray
SUBSTRT1|first column in the full frame
SUBSTRT2|first row in the full frame
SUBSIZE1|columns
SUBSIZE2|rows
FASTAXIS|direction of fast readout
SLOWAXIS|direction of slow readout
NRS_NORM|science pixels between reference pixels
NRS_REF|reference pixels at a time
MSTR_RD1|lines read at the start of a frame
MSTR_SK1|lines skipped after them
MSTR_RD2|lines of a stripe
MSTR_SK2|lines skipped between stripes
MSTR_RPT|does reading begin again after a stripe
MSTR_ILV|does a repeated stripe move on
SSTR_STP|lines a stripe moves on between integrations
SSTR_NST|positions of a stripe
|Dither information
PATTTYPE|primary dither pattern
PRIDTYPE|primary dither points and packing
PRIDTPTS|points in the primary pattern
PATT_NUM|position in the pattern
NUMDTHPT|points in the whole pattern
SUBPXPTS|points in the subpixel pattern
SUBPXPAT|subpixel pattern
XOFFSET|[arcsec] x offset from the pattern's start
YOFFSET|[arcsec] y offset from the pattern's start
|Aperture information
APERNAME|aperture used
PPS_APER|aperture requested
|Velocity aberration correction information
VA_RA|[deg] aberrated RA of the reference point
VA_DEC|[deg] aberrated Dec of the reference point
|Time information
BARTDELT|[s] barycentric correction
BSTRTIME|[d] barycentric MJD of the start
BENDTIME|[d] barycentric MJD of the end
BMIDTIME|[d] barycentric MJD of the middle
|Guide star information
GS_ORDER|place in the list of guide stars
GSSTRTTM|UTC start of guiding
GSENDTIM|UTC end of guiding
GDSTARID|guide star
GS_RA|[deg] right ascension of the guide star
GS_DEC|[deg] declination of the guide star
GS_MAG|magnitude of the guide star
GS_V3_PA|[deg] V3 position angle at the guide star
PCS_MODE|pointing control mode
VISITEND|UTC end of the visit
"""

_SCIENCE = """
MJD-BEG|[d] MJD of the start
MJD-AVG|[d] MJD of the middle
MJD-END|[d] MJD of the end
TDB-BEG|[d] barycentric MJD of the start
TDB-MID|[d] barycentric MJD of the middle
TDB-END|[d] barycentric MJD of the end
XPOSURE|[s] effective exposure time
TELAPSE|[s] elapsed time
|JWST ephemeris information
REFFRAME|frame of the ephemeris
EPH_TYPE|definitive or predicted
EPH_TIME|[d] MJD of position and velocity
JWST_X|[km] barycentric x
JWST_Y|[km] barycentric y
JWST_Z|[km] barycentric z
JWST_DX|[km/s] barycentric x velocity
JWST_DY|[km/s] barycentric y velocity
JWST_DZ|[km/s] barycentric z velocity
PA_APER|[deg] position angle of the aperture
VA_SCALE|scale of velocity aberration
BUNIT|unit of the array
|Information about the coordinates in the file
RADESYS|coordinate frame
|Spacecraft pointing information
RA_V1|[deg] right ascension of the V1 axis
DEC_V1|[deg] declination of the V1 axis
PA_V3|[deg] position angle of the V3 axis
|WCS parameters
WCSAXES|number of axes
CRPIX1|reference pixel, axis 1
CRPIX2|reference pixel, axis 2
CRVAL1|[deg] RA at the reference pixel
CRVAL2|[deg] Dec at the reference pixel
CTYPE1|type of axis 1
CTYPE2|type of axis 2
CUNIT1|unit of axis 1
CUNIT2|unit of axis 2
CDELT1|increment of axis 1
CDELT2|increment of axis 2
PC1_1|linear transformation
PC1_2|linear transformation
PC2_1|linear transformation
PC2_2|linear transformation
S_REGION|footprint
V2_REF|[arcsec] V2 of the reference point
V3_REF|[arcsec] V3 of the reference point
VPARITY|handedness of the ideal frame
V3I_YANG|[deg] angle from V3 to the ideal y axis
RA_REF|[deg] RA of the reference point
DEC_REF|[deg] Dec of the reference point
ROLL_REF|[deg] V3 angle at the reference point
VELOSYS|[m/s] barycentric velocity correction
"""


def _rows(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(tuple(line.split("|", 1)) for line in text.strip().splitlines())


PRIMARY = _rows(_PRIMARY)
SCIENCE = _rows(_SCIENCE)
