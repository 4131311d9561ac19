# shellcheck shell=bash
# What is particular to a cluster. Copy it to site.sh, in the folder from which you call sbatch (or set ABM_SITE to its
# path), and keep the lines that fit; the batch scripts read it before they start.

# -- where abm, Python and the MPI library come from
# module purge
# module load python/3.12 openmpi/5.0
# . "$HOME/abm/bin/activate"                # the environment with abm and, for several ranks, mpi4py

# -- how ranks find each other: pmi2 for MPICH, Intel MPI and the extra mpi-local; pmix for Open MPI.
#    `srun --mpi=list` shows what there is. If it does not fit, abm stops and says so.
export SLURM_MPI_TYPE=pmi2

# -- threads stay on their cores, next to their memory
export SLURM_CPU_BIND=cores

# -- what is compiled goes to a disk of the node: homes are slow, small, and shared by all nodes
LOCAL=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/abm-$USER
export ABM_CACHE_DIR=$LOCAL/abm CUPY_CACHE_DIR=$LOCAL/cupy

# -- runs belong on the large parallel file system: give sbatch an OUT there, or start it from there
# cd /scratch/$USER || exit 1
