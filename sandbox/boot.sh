#!/bin/sh
# Process 1 of a machine within the machine, run by unshare(1) in new mount, process, host name and IPC namespaces.
# Puts the private root in place, forgets the real one, and then reaps what its processes leave.
set -eu
directory=$1 hostname=$2 base=${3%/} control_groups=$4
root=$directory/root
exec >"$directory/boot.log" 2>&1

echo "$hostname" >/proc/sys/kernel/hostname

mount --bind "$root" "$root"
mount --rbind "$base/usr" "$root/usr"
mount -o remount,bind,ro "$root/usr"
mount --bind "$directory/local" "$root/usr/local"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
# A fresh sysfs, without the security modules' part: the engine would load profiles into the real kernel.
mount -t sysfs sysfs "$root/sys"
mount --rbind "$control_groups" "$root/sys/fs/cgroup"
mount -t proc proc "$root/proc"

mkdir -p "$root/run/sshd" "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old

# The directory at the end of the argument list is how this process is found again.
exec /usr/bin/python3 -IS -c '
import os, time
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.1)
' "$directory"
