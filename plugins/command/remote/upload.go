package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// withFiles calls `use` with the machine's files.
func (c Connection) withFiles(ctx context.Context, use func(*sftp.Client) error) error {
	var files *sftp.Client
	var done func()
	err := shared.with(ctx, c, func(client *ssh.Client) (err error) {
		files, err = sftp.NewClient(client)
		return err
	}, &done)
	if err != nil {
		return fmt.Errorf("copying to %s: %w", c.Host, err)
	}
	defer done()
	defer func() { _ = files.Close() }()
	defer context.AfterFunc(ctx, func() { _ = files.Close() })()
	if err := use(files); err != nil {
		return fmt.Errorf("copying to %s: %w", c.Host, err)
	}
	return nil
}

// upload copies a file or a folder, as `cp -r SOURCE TARGET` would: into a target that is a
// folder, over one that is a file; SOURCE/ means the folder's members.
func upload(files *sftp.Client, source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	there, err := stat(files, target)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if there != nil && there.IsDir() {
			target = path.Join(target, filepath.Base(source))
		}
		return uploadFile(files, source, target)
	}
	if there != nil && !there.IsDir() {
		return fmt.Errorf("%s is a file there, and %s is a folder", target, source)
	}
	if !strings.HasSuffix(source, "/") {
		target = path.Join(target, filepath.Base(source))
	}
	return filepath.WalkDir(source, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return files.MkdirAll(path.Join(target, filepath.ToSlash(relative)))
		}
		return uploadFile(files, name, path.Join(target, filepath.ToSlash(relative)))
	})
}

func uploadFile(files *sftp.Client, source, target string) error {
	local, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = local.Close() }()
	return write(files, local, target)
}

// write puts a text where target says, in folders that are made if need be.
func write(files *sftp.Client, from io.Reader, target string) error {
	if err := files.MkdirAll(path.Dir(target)); err != nil {
		return fmt.Errorf("making the folder of %s: %w", target, err)
	}
	there, err := files.Create(target)
	if err != nil {
		return fmt.Errorf("creating %s: %w", target, err)
	}
	if _, err := there.ReadFrom(from); err != nil {
		_ = there.Close()
		return fmt.Errorf("writing %s: %w", target, err)
	}
	return there.Close()
}

// stat is nil for what is not there.
func stat(files *sftp.Client, target string) (fs.FileInfo, error) {
	info, err := files.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}
