package remote

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"
)

// serve is an sshd that lets in who knows the password, in the one way that is set up.
func serve(t *testing.T, configure func(*ssh.ServerConfig)) float64 {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{}
	config.AddHostKey(signer)
	configure(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			line, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if _, _, requests, err := ssh.NewServerConn(line, config); err == nil {
					ssh.DiscardRequests(requests)
				}
			}()
		}
	}()
	return float64(listener.Addr().(*net.TCPAddr).Port)
}

// The pytest suite has no password to give to a real sshd.
func TestPassword(t *testing.T) {
	refused := errors.New("wrong password")
	ways := map[string]func(*ssh.ServerConfig){
		"password": func(c *ssh.ServerConfig) {
			c.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
				if string(password) != "open" {
					return nil, refused
				}
				return nil, nil
			}
		},
		"keyboard-interactive": func(c *ssh.ServerConfig) {
			c.KeyboardInteractiveCallback = func(
				_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge,
			) (*ssh.Permissions, error) {
				answers, err := ask("", "", []string{"Password:"}, []bool{false})
				if err != nil || answers[0] != "open" {
					return nil, refused
				}
				return nil, nil
			}
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			port, never := serve(t, way), 0
			for password, lets := range map[string]bool{"open": true, "shut": false} {
				there := Connection{Endpoint: Endpoint{
					Host: "127.0.0.1", Port: &port, Password: &password, DialErrorLimit: &never,
				}}
				client, err := there.dial(context.Background())
				if (err == nil) != lets {
					t.Errorf("%q: %v", password, err)
				}
				if client != nil {
					_ = client.Close()
				}
			}
		})
	}
}
