#!/bin/bash
# Trains {{ run }} on {{ nodes }} node{{ "s" if nodes > 1 }} of {{ processes }} GPUs. Submit it from the checkout's root:
#     sbatch {{ path }}
# The checkout, its .venv and the data must lie on a file system that all nodes share. Shortly
# before the time is up the trainers save and end; submitted again, the run goes on from there.
# A chain of jobs, each waiting for the one before:
#     for i in 1 2 3; do sbatch --dependency=singleton {{ path }}; done
#SBATCH --job-name={{ run }}
#SBATCH --nodes={{ nodes }}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={{ processes }}
#SBATCH --cpus-per-task={{ cores }}
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --output=slurm-%x-%j.log

set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
source .venv/bin/activate
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))  # jobs may share a node
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not inherit it
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=120  # seconds that trainers get to save
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # a restart must not meet processes that are dead

srun --kill-on-bad-exit=1 torchrun \
    --nnodes={{ nodes }} --nproc-per-node={{ processes }} --max-restarts={{ restarts }} \
    --rdzv-backend=c10d --rdzv-endpoint="$first:$port" --rdzv-id="$SLURM_JOB_ID" \
    -m dghin train {{ words }}
