# Makes the files of the machine, and keeps them until standard input ends.
# $1 is an empty folder, $2 the name of the machine's control group.
set -eu
base=$1 group=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 systemdtest "$base"
mkdir "$base/upper" "$base/work" "$base/root" "$base/cgroup"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
mount -t cgroup2 cgroup2 "$base/cgroup"
mkdir "$base/cgroup/$group"

# None of this machine's services: neither their units nor their scripts.
cd "$base/root"
rm -rf etc/systemd/system etc/rc?.d etc/fstab usr/sbin/policy-rc.d
mkdir -p etc/systemd/system
: >etc/machine-id

echo held
read -r _ || true

# The processes of the machine have been killed, and may take a moment to be gone.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	find "$base/cgroup/$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
	sleep 0.1
done
