package clock

import (
	"context"
	"testing"
	"time"
)

func TestTheClockGoesOn(t *testing.T) {
	before := SinceBoot()
	time.Sleep(time.Millisecond)
	if after := SinceBoot(); before <= 0 || after <= before {
		t.Errorf("%v, then %v", before, after)
	}
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	Pause(ctx, time.Hour)
	if time.Since(began) > time.Minute {
		t.Error("it went on")
	}
}

func TestManyWakesAreOne(t *testing.T) {
	bell := make(chan struct{}, 1)
	for range 3 {
		Wake(bell)
	}
	<-bell
	select {
	case <-bell:
		t.Error("woken twice")
	default:
	}
}
