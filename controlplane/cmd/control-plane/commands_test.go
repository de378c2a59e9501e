package main

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandsByTheirWords(t *testing.T) {
	for _, each := range []struct{ prefix, words, name, arguments string }{
		{"", "serve", "serve", ""},
		{"", "commit 52-54-00-aa-bb-01", "commit", "52-54-00-aa-bb-01"},
		{"boot-entry ", "set a b c", "boot-entry set", "a b c"},
		{"", "boot-entry show a", "boot-entry show", "a"},
		{"boot-image ", "prune", "boot-image prune", ""},
		{"boot-image ", "prune a b", "boot-image prune", "a b"},
		{"boot-file ", "check boot/initramfs sum", "boot-file check", "boot/initramfs sum"},
	} {
		found, arguments, err := choose(each.prefix, strings.Fields(each.words))
		if err != nil || found.name != each.name || !slices.Equal(arguments, strings.Fields(each.arguments)) {
			t.Errorf("%s%s: %+v, %v, %v", each.prefix, each.words, found, arguments, err)
		}
	}
	for _, each := range []struct{ prefix, words, told string }{
		{"", "", "usage:\n  serve"},
		{"", "nonsense", "boot-image prune IMAGE..."},
		{"", "commit", "usage: commit MAC"},
		{"", "serve now", "usage: serve"},
		{"", "status --all", "usage: status"},
		{"boot-entry ", "serve", "usage:\n  boot-entry set MAC IMAGE OVERLAY_SHA256"},
		{"boot-entry ", "set a b", "usage: boot-entry set MAC IMAGE OVERLAY_SHA256"},
	} {
		if _, _, err := choose(each.prefix, strings.Fields(each.words)); err == nil || !strings.Contains(err.Error(), each.told) {
			t.Errorf("%s%s: %v", each.prefix, each.words, err)
		}
	}
}
