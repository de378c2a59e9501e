package memory

import (
	"testing"

	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
)

func TestContract(t *testing.T) {
	kvtest.Contract(t, func(*testing.T) kv.Store { return New() })
}
