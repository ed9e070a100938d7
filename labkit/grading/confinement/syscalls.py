"""Numbers of system calls, by machine.

From 424 on, the numbers are the same on all machines, and a filter names those that it allows. Below, each machine
has its own; the table has those that a filter mentions. A dash: this machine has no such call.
"""

from __future__ import annotations

SAME_NUMBERS_FROM = 424
X32_BIT = 0x40000000  # x86-64: the call is one of the x32 interface, a second set of numbers
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Harmless ones with a common number. The others of this range are answered with ENOSYS, as by a kernel that does
# not have them: the C library falls back to the older calls (clone instead of clone3, openat instead of openat2).
ALLOWED_COMMON = {
    "close_range": 436, "faccessat2": 439, "epoll_pwait2": 441, "futex_waitv": 449, "cachestat": 451,
    "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "mseal": 462,
}

_TABLE = """
open 2 -; ioctl 16 29; shmget 29 194; shmat 30 196; shmctl 31 195; socket 41 198; connect 42 203; accept 43 202
bind 49 200; listen 50 201; socketpair 53 199; clone 56 220; fork 57 -; vfork 58 -; execve 59 221; kill 62 129
semget 64 190; semop 65 193; semctl 66 191; msgget 68 186; msgsnd 69 189; msgrcv 70 188; msgctl 71 187; fcntl 72 25
truncate 76 45; ftruncate 77 46; rename 82 -; mkdir 83 -; rmdir 84 -; creat 85 -; link 86 -; unlink 87 -; symlink 88 -
chmod 90 -; fchmod 91 52; chown 92 -; fchown 93 55; lchown 94 -; ptrace 101 117; syslog 103 116; setuid 105 146
setgid 106 144; setpgid 109 154; setsid 112 157; setreuid 113 145; setregid 114 143; setgroups 116 159
setresuid 117 147; setresgid 119 149; setfsuid 122 151; setfsgid 123 152; capset 126 91; rt_sigqueueinfo 129 138
utime 132 -; mknod 133 -; uselib 134 -; personality 135 92; setpriority 141 140; sched_setparam 142 118
sched_setscheduler 144 119; vhangup 153 58; modify_ldt 154 -; pivot_root 155 41; prctl 157 167; adjtimex 159 171
setrlimit 160 164; chroot 161 51; sync 162 81; acct 163 89; settimeofday 164 170; mount 165 40; umount2 166 39
swapon 167 224; swapoff 168 225; reboot 169 142; sethostname 170 161; setdomainname 171 162; iopl 172 -; ioperm 173 -
init_module 175 105; delete_module 176 106; quotactl 179 60; nfsservctl 180 42; setxattr 188 5; lsetxattr 189 6
fsetxattr 190 7; removexattr 197 14; lremovexattr 198 15; fremovexattr 199 16; tkill 200 130
sched_setaffinity 203 122; io_setup 206 0; io_submit 209 2; lookup_dcookie 212 18; remap_file_pages 216 234
semtimedop 220 192; clock_settime 227 112; tgkill 234 131; utimes 235 -; mq_open 240 180; mq_unlink 241 181
mq_timedsend 242 182; mq_timedreceive 243 183; mq_notify 244 184; mq_getsetattr 245 185; kexec_load 246 104
add_key 248 217; request_key 249 218; keyctl 250 219; ioprio_set 251 30; inotify_init 253 -; inotify_add_watch 254 27
migrate_pages 256 238; openat 257 56; mkdirat 258 34; mknodat 259 33; fchownat 260 54; futimesat 261 -
unlinkat 263 35; renameat 264 38; linkat 265 37; symlinkat 266 36; fchmodat 268 53; unshare 272 97
get_robust_list 274 100; splice 275 76; tee 276 77; vmsplice 278 75; move_pages 279 239; utimensat 280 88
fallocate 285 47; accept4 288 242; inotify_init1 294 26; rt_tgsigqueueinfo 297 240; perf_event_open 298 241
fanotify_init 300 262; fanotify_mark 301 263; prlimit64 302 261; name_to_handle_at 303 264; open_by_handle_at 304 265
clock_adjtime 305 266; syncfs 306 267; setns 308 268; process_vm_readv 310 270; process_vm_writev 311 271
kcmp 312 272; finit_module 313 273; sched_setattr 314 274; renameat2 316 276; seccomp 317 277; memfd_create 319 279
kexec_file_load 320 294; bpf 321 280; execveat 322 281; userfaultfd 323 282
"""

MACHINES = ("x86_64", "aarch64")
NUMBERS: dict[str, dict[str, int | None]] = {
    entry.split()[0]: dict(zip(MACHINES, (None if n == "-" else int(n) for n in entry.split()[1:]), strict=True))
    for entry in _TABLE.replace("\n", ";").split(";") if entry.strip()
}


def number_of(name: str, machine: str) -> int | None:
    """The number of a system call on ``"x86_64"`` or ``"aarch64"``, or None if it has no such call.

    >>> number_of("open", "x86_64"), number_of("open", "aarch64")
    (2, None)
    """
    return NUMBERS[name][machine]
