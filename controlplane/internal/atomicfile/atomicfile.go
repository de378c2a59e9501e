// Package atomicfile writes files whole or not at all, reads their checksums, and has the locks that programs
// share by files.
package atomicfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/names"
)

// Unfinished ends the name of a file that is being written.
const Unfinished = ".new"

// Write makes the file's content this, whole or not at all; one that has it already isn't touched.
func Write(path string, content []byte) error {
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
		return nil
	}
	_, err := Take(path, names.SumOf(content), bytes.NewReader(content))
	return err
}

// Take makes the file's content what the reader gives, if it has that sha256; it tells the size.
func Take(path, sum string, content io.Reader) (size int64, err error) {
	staged, size, err := Stage(path, sum, content)
	if err != nil {
		return 0, err
	}
	return size, os.Rename(staged, path)
}

// Stage writes what the reader gives beside the path, and has it on the disk, if it has that sha256. The name it
// is staged under is nobody else's, however many write the same file.
func Stage(path, sum string, content io.Reader) (staged string, size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", 0, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+Unfinished)
	if err != nil {
		return "", 0, err
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	hash := sha256.New()
	if size, err = copied(io.MultiWriter(&steady{file: file}, hash), content); err != nil {
		return "", 0, err
	}
	if seen := hex.EncodeToString(hash.Sum(nil)); seen != sum {
		return "", 0, fmt.Errorf("%s: what was given has sha256 %s, not %s; nothing was changed", filepath.Base(path), seen, sum)
	}
	return file.Name(), size, errors.Join(file.Chmod(0o644), file.Sync())
}

// Staged are those that were staged for the path and not renamed, by who is still at it or was killed.
func Staged(path string) []string {
	found, _ := filepath.Glob(path + ".*" + Unfinished)
	return found
}

// stretch is how much is copied at a time: from a guest's node (9p) each read takes 0.1 s, however much it is.
const stretch = 256 << 10

// copied is io.Copy, a stretch at a time.
func copied(to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, stretch))
}

// steady has what it writes on the disk bit by bit: consul's state is on the founder's stick too, and where 30 MB
// wait there to be written, its next entry waits behind them.
type steady struct {
	file    *os.File
	written int // since the last time
}

func (s *steady) Write(from []byte) (int, error) {
	count, err := s.file.Write(from)
	if s.written += count; err == nil && s.written >= stretch {
		s.written = 0
		err = unix.Fdatasync(int(s.file.Fd()))
	}
	return count, err
}

// SumOf reads the file; gently: for half of the time.
func SumOf(path string, gently bool) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var content io.Reader = file
	if gently {
		content = Gently(file)
	}
	hash := sha256.New()
	if _, err := copied(hash, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Gently reads for half of the time and leaves the other half to the rest of the machine: consul loses its
// leadership where all its time goes into copying.
func Gently(from io.Reader) io.Reader { return &paced{from: from, began: time.Now()} }

type paced struct {
	from  io.Reader
	began time.Time
	read  int // since then
}

func (p *paced) Read(into []byte) (int, error) {
	if p.read >= stretch {
		time.Sleep(time.Since(p.began))
		p.read, p.began = 0, time.Now()
	}
	count, err := p.from.Read(into)
	p.read += count
	return count, err
}

// Lock takes the lock that the file stands for, flock(2)'s LOCK_SH, LOCK_EX or one with LOCK_NB; the file and
// its folder are made where they lack. Where another holds it, LOCK_NB's error is unix.EWOULDBLOCK.
func Lock(path string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(file.Fd()), how)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}
