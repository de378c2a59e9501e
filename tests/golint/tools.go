//go:build tools

// Package tools names the linters, so that go.mod keeps them.
package tools

import _ "honnef.co/go/tools/cmd/staticcheck"
