#!/bin/bash
# Boot a real systemd as PID 1 in private namespaces, over a copy-on-write view of this machine's own files.
#
#   boot.sh SHARE PYTHON SITE CHECKOUT [in]
#
# SHARE is a directory that both sides see (/run/lab inside): SHARE/units/* become units, SHARE/prepare.sh runs before
# systemd does, systemd starts lab.target, and the lab ends when SHARE/done appears. PYTHON is the prefix of the
# interpreter (/opt/python inside), SITE the site-packages with what the daemon needs, CHECKOUT our own source; out of
# these comes /opt/kinto-notify. There is a loopback and no other network. Root only.
#
# Nothing of it outlives this script: the namespaces go with their first process, which dies with us; mounts are in a
# mount namespace of their own; the control group is removed here.
set -eu
SHARE=$(readlink -f "$1") PYTHON=$2 SITE=$3 CHECKOUT=$4

if [ "${5:-}" != in ]; then
  GROUP=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/kinto-notify-lab-$$
  mkdir "$GROUP"
  (
    echo "$BASHPID" > "$GROUP/cgroup.procs"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab \
      setpriv --pdeathsig KILL unshare --fork --pid --mount --uts --ipc --net --cgroup --kill-child=KILL --propagation private \
      bash "$0" "$SHARE" "$PYTHON" "$SITE" "$CHECKOUT" in
  ) & LAB=$!
  trap 'kill -KILL $LAB 2> /dev/null || :' EXIT
  trap 'exit 1' TERM INT HUP
  code=1
  for _ in $(seq 1200); do
    if [ -e "$SHARE/done" ]; then code=0; break; fi
    kill -0 $LAB 2> /dev/null || break
    sleep 0.25
  done
  kill -KILL $LAB 2> /dev/null || :
  wait $LAB 2> /dev/null || :
  for _ in $(seq 100); do
    find "$GROUP" -depth -type d -exec rmdir {} + 2> /dev/null && exit $code
    sleep 0.1
  done
  echo "the lab's control group $GROUP is still in use" >&2
  exit 1
fi

LOWER=/mnt ROOT=/mnt/root
mount -t tmpfs -o size=1g lab $LOWER
mkdir $LOWER/upper $LOWER/work $LOWER/site $LOWER/site-work $ROOT
mount -t overlay lab -o lowerdir=/,upperdir=$LOWER/upper,workdir=$LOWER/work $ROOT
mount -t proc lab $ROOT/proc
mount --bind $ROOT/proc/sys $ROOT/proc/sys
mount -o remount,bind,ro $ROOT/proc/sys
mount -t sysfs -o ro lab $ROOT/sys
mount -t cgroup2 lab $ROOT/sys/fs/cgroup
mount -t tmpfs -o mode=755 lab $ROOT/run
mount -t tmpfs -o mode=1777 lab $ROOT/tmp
mkdir $ROOT/run/lab
mount --bind "$SHARE" $ROOT/run/lab
mount -t tmpfs -o mode=755 lab $ROOT/dev
for name in null zero full random urandom tty; do
  : > $ROOT/dev/$name
  mount --bind /dev/$name $ROOT/dev/$name
done
mkdir $ROOT/dev/pts $ROOT/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 lab $ROOT/dev/pts
ln -s pts/ptmx $ROOT/dev/ptmx
ln -s /proc/self/fd $ROOT/dev/fd

# The interpreter, at a place that ProtectHome does not hide, with its own shared library if it has one.
mkdir -p $ROOT/opt/python
mount --bind "$PYTHON" $ROOT/opt/python
mkdir -p $ROOT/etc/ld.so.conf.d
echo /opt/python/lib > $ROOT/etc/ld.so.conf.d/00-lab.conf
chroot $ROOT ldconfig
rm -rf $ROOT/opt/kinto-notify
chroot $ROOT /opt/python/bin/python3 -I -m venv --without-pip /opt/kinto-notify
PACKAGES=$(echo $ROOT/opt/kinto-notify/lib/python3.*/site-packages)
mount -t overlay site -o "lowerdir=$SITE,upperdir=$LOWER/site,workdir=$LOWER/site-work" "$PACKAGES"
rm -rf "$PACKAGES"/_editable_impl_kinto_notify.pth "$PACKAGES/kinto_notify"
cp -r "$CHECKOUT/src/kinto_notify" "$PACKAGES/kinto_notify"
mkdir -p "$PACKAGES/kinto_notify/share"
cp -r "$CHECKOUT/systemd" "$CHECKOUT/config" "$PACKAGES/kinto_notify/share/"

# A machine on which nothing of its own starts.
rm -rf $ROOT/etc/systemd/system
mkdir $ROOT/etc/systemd/system
: > $ROOT/etc/fstab
cp -r $ROOT/run/lab/units/. $ROOT/etc/systemd/system/
chroot $ROOT bash -eu /run/lab/prepare.sh > $ROOT/run/lab/prepare.log 2>&1

cd $ROOT
mkdir -p old
pivot_root . old
umount -l /old
# Shared, else credentials arrive empty.
mount --make-rshared /
INIT=/lib/systemd/systemd
[ -x $INIT ] || INIT=/usr/lib/systemd/systemd
exec $INIT --system --unit=lab.target --log-target=journal --show-status=false < /dev/null > /dev/null 2>&1
