# Boots the machine whose files are in $1. $2 is the name of its control group.
set -eu
base=$1 group=$2
if [ "${3-}" != in ]; then
	echo 0 >"$base/cgroup/$group/cgroup.procs"
	exec unshare --mount --pid --cgroup --fork --kill-child /bin/sh "$0" "$base" "$group" in
fi
cd "$base/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
	: >"dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
exec env -i container=systemdtest PATH="$PATH" chroot . /lib/systemd/systemd --unit=multi-user.target --show-status=no
