package main

import (
	"slices"
	"strings"
	"testing"

	"rack-lab/controlplane/internal/config"
)

func TestOnWhichMachinesACommandWorks(t *testing.T) {
	machine := &config.Config{Token: "s"}
	server := &config.Config{Token: "s", BootAddress: "10.0.0.9/24"}
	only := &config.Config{Directory: "/kv", BootAddress: "10.0.0.9/24"}
	for name, wanted := range map[string][3]bool{
		"commit": {true, true, false}, "serve": {false, true, true}, "status": {false, true, true},
		"boot-entry set": {false, true, true}, "rejoin": {false, true, false}, "snapshot": {false, true, false},
	} {
		at := slices.IndexFunc(commands, func(each command) bool { return each.name == name })
		var works [3]bool
		for n, c := range []*config.Config{machine, server, only} {
			works[n] = commands[at].where.check(c) == nil
		}
		if works != wanted {
			t.Errorf("%s: %v", name, works)
		}
	}
}

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
