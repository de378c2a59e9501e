// Package remote runs commands and copies files over ssh.
package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Endpoint is one machine to connect to, and how to prove who asks.
type Endpoint struct {
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	Host               string   `pulumi:"host"`
	HostKey            *string  `pulumi:"hostKey,optional"`
	Password           *string  `pulumi:"password,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
	Port               *float64 `pulumi:"port,optional"`
	PrivateKey         *string  `pulumi:"privateKey,optional"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional"`
	User               *string  `pulumi:"user,optional"`
}

// Connection is a machine, and the one it is reached through if there is one.
type Connection struct {
	Endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// ProxyConnection is the machine that a connection is made through.
type ProxyConnection struct{ Endpoint }

// Annotate describes the connection in the schema.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "Instructions for how to connect to a remote endpoint.")
	c.Endpoint.annotate(a)
	a.Describe(&c.Proxy, "The connection settings for the bastion/proxy host.")
}

// Annotate describes the proxy in the schema.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "Instructions for how to connect to a remote endpoint via a bastion host.")
	c.Endpoint.annotate(a)
}

func (e *Endpoint) annotate(a infer.Annotator) {
	a.Describe(&e.AgentSocketPath,
		"SSH Agent socket path. Default to environment variable SSH_AUTH_SOCK if present.")
	a.Describe(&e.DialErrorLimit,
		"Max allowed errors on trying to dial the remote host. -1 set count to unlimited. Default value is 10.")
	a.SetDefault(&e.DialErrorLimit, 10)
	a.Describe(&e.Host, "The address of the host to connect to.")
	a.Describe(&e.HostKey, "The expected host key to verify the server's identity. "+
		"If not provided, the host key will be ignored.")
	a.Describe(&e.Password, "The password we should use for the connection.")
	a.Describe(&e.PerDialTimeout,
		"Max number of seconds for each dial attempt. 0 implies no maximum. Default value is 15 seconds.")
	a.SetDefault(&e.PerDialTimeout, 15)
	a.Describe(&e.Port, "The port to connect to. Defaults to 22.")
	a.SetDefault(&e.Port, 22)
	a.Describe(&e.PrivateKey, "The contents of an SSH key to use for the connection. "+
		"This takes preference over the password if provided.")
	a.Describe(&e.PrivateKeyPassword, "The password to use in case the private key is encrypted.")
	a.Describe(&e.User, "The user that we should use for the connection.")
	a.SetDefault(&e.User, "root")
}

func (e Endpoint) address() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(or(e.Port, 22))))
}

func (e Endpoint) timeout() time.Duration {
	return time.Duration(or(e.PerDialTimeout, 15)) * time.Second
}

// settings are what the ssh library wants to know.
func (e Endpoint) settings() (*ssh.ClientConfig, error) {
	result := &ssh.ClientConfig{
		User:            or(e.User, "root"),
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // as documented: no key, no check
		Timeout:         e.timeout(),
	}
	if e.HostKey != nil {
		if err := expectKey(result, *e.HostKey); err != nil {
			return nil, err
		}
	}
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, fmt.Errorf("the connection's privateKey: %w", err)
		}
		result.Auth = append(result.Auth, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		password := *e.Password
		result.Auth = append(result.Auth, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = password
				}
				return answers, nil
			}))
	}
	if signers, err := e.agent(); err != nil {
		return nil, err
	} else if signers != nil {
		result.Auth = append(result.Auth, ssh.PublicKeysCallback(signers))
	}
	if len(result.Auth) == 0 {
		return nil, errors.New("the connection has no privateKey, no password and no agent")
	}
	return result, nil
}

func (e Endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword != nil {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	}
	return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
}

// agent asks the ssh agent; one that is only in the environment may be missing.
func (e Endpoint) agent() (func() ([]ssh.Signer, error), error) {
	path := or(e.AgentSocketPath, os.Getenv("SSH_AUTH_SOCK"))
	if path == "" {
		return nil, nil
	}
	socket, err := net.Dial("unix", path)
	if err != nil {
		if e.AgentSocketPath == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("the connection's agentSocketPath: %w", err)
	}
	return agent.NewClient(socket).Signers, nil
}

// expectKey accepts one host key only, and asks the server for that kind of key: it may have
// several and would show another.
func expectKey(settings *ssh.ClientConfig, line string) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return fmt.Errorf("the connection's hostKey: %w", err)
	}
	settings.HostKeyCallback = ssh.FixedHostKey(key)
	settings.HostKeyAlgorithms = []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		settings.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return nil
}

func or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}
