package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dropProgramPages takes the program's own code and constants out of this process's memory; what is used again comes back from the page
// cache. Some 4 MiB are initialization, migrations and tables that nobody reads again, and they would count as resident until the machine
// runs short. Writable mappings are left alone, and any error leaves things as they were.
func dropProgramPages() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// 00400000-0102f000 r-xp 00000000 fe:01 12345   /usr/bin/weir
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[5] != exe || strings.Contains(f[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= start {
			continue
		}
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start), syscall.MADV_DONTNEED)
	}
}
