#!/bin/bash
# A Slurm of four nodes and a login node on one machine, each with a network, a name and processes of its own. As root, on
# Debian with slurm-wlm, munge (running) and iproute2; what it writes lies in /srv/slurm-nodes.
#
#   slurm_nodes.sh start              the bridge 10.9.0.1, the queue, n1 to n4
#   slurm_nodes.sh login COMMAND…     on the login node
#   slurm_nodes.sh off n3             power loss: the network goes first, so that nobody is told
#   slurm_nodes.sh cut login          its network alone
#   slurm_nodes.sh on n3              there again
#   slurm_nodes.sh stop
set -eu
at=/srv/slurm-nodes
export SLURM_CONF=$at/slurm.conf

node() { # the shell stays, and reaps what is orphaned, as an init does
  setsid nsenter --net=/run/netns/$1 unshare --uts --pid --fork --mount-proc --kill-child \
    bash -c "hostname $1; slurmd -D -N $1; sleep infinity" >"$at/$1.out" 2>&1 &
  echo $! >"$at/$1.pid"
}

case $1 in
start)
  mkdir -p $at/state
  ip link add sslseg0 type bridge
  ip addr add 10.9.0.1/24 dev sslseg0
  ip link set sslseg0 up
  cat >$SLURM_CONF <<CONF
ClusterName=four
SlurmctldHost=$(hostname -s)(10.9.0.1)
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
ReturnToService=2
SlurmUser=root
SlurmdParameters=config_overrides
SlurmdTimeout=30
StateSaveLocation=$at/state
SlurmdSpoolDir=$at/spool-%n
SlurmctldPidFile=$at/slurmctld.pid
SlurmdPidFile=$at/slurmd-%n.pid
SlurmctldLogFile=$at/slurmctld.log
SlurmdLogFile=$at/slurmd-%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
$(for i in 1 2 3 4; do echo "NodeName=n$i NodeAddr=10.9.0.1$i CPUs=1 RealMemory=4000"; done)
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  i=10
  for name in login n1 n2 n3 n4; do
    ip netns add $name
    ip link add v$name type veth peer name e0 netns $name
    ip link set v$name master sslseg0 up
    ip -n $name addr add 10.9.0.$i/24 dev e0
    ip -n $name link set e0 up
    ip -n $name link set lo up
    i=$((i + 1))
    mkdir -p $at/spool-$name
  done
  slurmctld
  for name in n1 n2 n3 n4; do node $name; done
  ;;
login) shift && exec nsenter --net=/run/netns/login unshare --uts bash -c 'hostname login; exec "$@"' login "$@" ;;
cut) ip link set v"$2" down ;;
off)
  ip link set v"$2" down
  kill -9 "$(cat $at/"$2".pid)"
  ;;
on)
  ip link set v"$2" up
  [ "$2" = login ] || kill -0 "$(cat $at/"$2".pid)" 2>/dev/null || node "$2"
  ;;
stop)
  for file in $at/n?.pid $at/slurmctld.pid; do kill -9 "$(cat $file)" || true; done
  for name in login n1 n2 n3 n4; do ip link del v$name; ip netns del $name; done
  ip link del sslseg0
  ;;
esac
