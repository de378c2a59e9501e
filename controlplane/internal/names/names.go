// Package names says what the names are like that come from elsewhere and become parts of paths and keys: a
// machine's MAC address, a checksum, a file's name. All that comes in by a command, by HTTP or from the
// store is checked here before it is used.
package names

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
)

var (
	mac  = regexp.MustCompile(`^([0-9a-f]{2}-){5}[0-9a-f]{2}$`)
	sum  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	word = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

// CheckMAC refuses what isn't a MAC address as iPXE writes it in paths (${net0/mac:hexhyp}).
func CheckMAC(text string) error {
	if !mac.MatchString(text) {
		return fmt.Errorf("MAC '%s' is not like 52-54-00-aa-bb-cc", text)
	}
	return nil
}

// CheckSum refuses what isn't a sha256 in hex digits; what names it in the error.
func CheckSum(what, text string) error {
	if !sum.MatchString(text) {
		return fmt.Errorf("%s '%s' is not 64 hex digits", what, text)
	}
	return nil
}

// CheckWord refuses what isn't the plain name of one file; what names it in the error.
func CheckWord(what, text string) error {
	if !word.MatchString(text) {
		return fmt.Errorf("%s '%s' is no plain file name", what, text)
	}
	return nil
}

// SumOf is the sha256 of the data in hex digits, which the boot tree names content by.
func SumOf(data []byte) string {
	found := sha256.Sum256(data)
	return hex.EncodeToString(found[:])
}
