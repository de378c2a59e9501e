// Package treetest makes boot trees and what goes into them, for tests.
package treetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"path/filepath"
	"testing"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/names"
)

// Two machines.
const (
	MAC1 = "52-54-00-aa-bb-01"
	MAC2 = "52-54-00-aa-bb-02"
)

// Archive makes a tar.gz of the headers; a regular file's content is filler of its size, which can't be compressed
// and is always the same.
func Archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	writer := tar.NewWriter(zip)
	for _, header := range headers {
		kvtest.Must(t, writer.WriteHeader(&header))
		if header.Typeflag != tar.TypeReg {
			continue
		}
		filler := make([]byte, header.Size)
		for n := range filler {
			filler[n] = names.SumOf([]byte{byte(n), byte(n >> 8), byte(n >> 16)})[n%60]
		}
		_, err := writer.Write(filler)
		kvtest.Must(t, err)
	}
	kvtest.Must(t, writer.Close())
	kvtest.Must(t, zip.Close())
	return packed.Bytes()
}

// File is the header of a regular file.
func File(name string, size int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
}

// Folder is an empty copy of the tree.
func Folder(t testing.TB) boottree.Folder {
	return boottree.Folder{Root: t.TempDir(), LockFile: filepath.Join(t.TempDir(), "tree.lock")}
}

// Medium fills a folder as a boot medium brings it: one image of two layers, one machine, MAC1, whose entry it gives.
func Medium(t testing.TB, tree boottree.Folder) boottree.Entry {
	t.Helper()
	write := func(name, content string) string {
		kvtest.Must(t, atomicfile.Write(tree.Path(name), []byte(content)))
		return names.SumOf([]byte(content))
	}
	for _, name := range []string{"boot.ipxe", "boot/vmlinuz", "boot/vmlinux.gz", "boot/initramfs"} {
		write(name, "this is "+name)
	}
	one, two := write("images/one.squashfs", "layer one"), write("images/two.squashfs", "layer two")
	write("images/san.layers", one+"  one.squashfs\n"+two+"  two.squashfs\n")
	overlay := string(Archive(t, File("etc/hostname", 4)))
	commit := string(Archive(t, File("etc/fstab", 4)))
	e := boottree.Entry{Image: "san", Overlay: names.SumOf([]byte(overlay)), Commit: names.SumOf([]byte(commit))}
	for name, sum := range e.Files() {
		write("machines/"+MAC1+"/"+name, map[string]string{e.Overlay: overlay, e.Commit: commit}[sum])
	}
	write("machines/"+MAC1+"/boot.env", e.Text(MAC1))
	return e
}

// Registered is what the store has of a file.
func Registered(content string) []byte {
	return []byte(boottree.File{Sum: names.SumOf([]byte(content)), Size: int64(len(content))}.String())
}

// Imported registers what an import ends with, without one.
func Imported(t testing.TB, ctx context.Context, s kv.Store) {
	t.Helper()
	kvtest.Must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+"boot.ipxe", Registered(""))))
}

// Unregistered is for an import whose files nobody remembers.
func Unregistered(string, string, bool) {}
