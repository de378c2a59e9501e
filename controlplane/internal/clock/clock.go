// Package clock has the time that fences and proofs of leadership are counted in, and waiting that ends
// with a context.
package clock

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// SinceBoot is the time since the machine's start. It goes on while the machine is suspended
// (CLOCK_BOOTTIME, clock_gettime(2)): what was proved before counts as old afterwards.
func SinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(now.Nano())
}

// Pause waits that long, or until ctx ends.
func Pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// Wake wakes who waits at the channel, once, now or when it next does. The channel has room for one.
func Wake(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
