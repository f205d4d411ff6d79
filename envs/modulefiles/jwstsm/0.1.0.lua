-- Lmod module of an installation of jwstsm, for those who look after a cluster's software.
--
-- Copy the folder jwstsm/ to a place on MODULEPATH, name the file by the version, and set the next two lines: where
-- `make env` was run, and, if compute nodes have more than one kind of processor, a folder that all users can write to
-- (kernels are compiled once per kind; `jwstsm warmup` does it). Then: module load jwstsm
local root = "/opt/jwstsm"
local kernels = nil -- "/shared/jwstsm-kernels"

help([[
jwstsm: JWST exposures from uncal to science products, as a Snakemake workflow.
  jwstsm init my_program      makes a program directory
  snakemake --profile profiles/slurm      runs it (in that directory)
]])
whatis("Name: jwstsm")
whatis("Version: " .. myModuleVersion())
whatis("Description: calibration of JWST data")

conflict("jwstsm")
prepend_path("PATH", pathJoin(root, ".venv", "bin"))
if kernels then
  setenv("NUMBA_CACHE_DIR", kernels)
end
-- the environment's own Python packages, none of other modules or of the user
unsetenv("PYTHONPATH")
unsetenv("PYTHONHOME")
setenv("PYTHONNOUSERSITE", "1")
