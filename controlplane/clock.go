package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// This file owns time: one clock that goes on while the machine is suspended, as proofs and the gate must.

// sinceBoot is the time since the machine's start (CLOCK_BOOTTIME).
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(now.Nano())
}

// logf writes one line to the daemon's log, with the seconds since the machine's start.
func logf(format string, args ...any) {
	fmt.Printf("%.1f %s\n", sinceBoot().Seconds(), fmt.Sprintf(format, args...))
}
