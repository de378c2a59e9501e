package remote

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
	// A peer that says nothing to three of these is gone: without them a command on a
	// machine that lost its power would be waited for for ever.
	keepAlive = 20 * time.Second
)

// dial connects, trying again until the connection's dialErrorLimit is passed.
func (c Connection) dial(ctx context.Context) (*ssh.Client, error) {
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	limit := or(c.DialErrorLimit, 10)
	pause := firstPause
	for failures := 1; ; failures++ {
		client, err := c.dialOnce(ctx, settings)
		if err == nil {
			go watch(client)
			return client, nil
		}
		if limit >= 0 && failures > limit || ctx.Err() != nil {
			return nil, fmt.Errorf("can't reach %s over ssh (tried %d times): %w", c.address(), failures, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(pause*3/2, longestPause)
	}
}

func (c Connection) dialOnce(ctx context.Context, settings *ssh.ClientConfig) (*ssh.Client, error) {
	if timeout := c.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	line, err := c.line(ctx)
	if err != nil {
		return nil, err
	}
	// The handshake knows no deadline of its own.
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	conn, channels, requests, err := ssh.NewClientConn(line, c.address(), settings)
	if !stop() {
		return nil, fmt.Errorf("no ssh handshake: %w", context.Cause(ctx))
	}
	if err != nil {
		_ = line.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// line is the bare connection to the machine's ssh port, through the proxy if there is one.
func (c Connection) line(ctx context.Context) (net.Conn, error) {
	if c.Proxy == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", c.address())
	}
	// The proxy's own limits count, not what is left of this attempt's time.
	proxy, err := shared.get(context.WithoutCancel(ctx), Connection{Endpoint: c.Proxy.Endpoint})
	if err != nil {
		return nil, fmt.Errorf("the proxy: %w", err)
	}
	return proxy.DialContext(ctx, "tcp", c.address())
}

// watch closes a connection whose other end is gone.
func watch(client *ssh.Client) {
	ended := make(chan struct{})
	go func() { _ = client.Wait(); close(ended) }()
	answered := make(chan error, 1)
	for waiting := 0; ; {
		if waiting == 0 {
			go func() {
				_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
				answered <- err
			}()
		}
		waiting++
		select {
		case <-ended:
			return
		case <-answered:
			waiting = 0
			select {
			case <-ended:
				return
			case <-time.After(keepAlive):
			}
		case <-time.After(keepAlive):
			if waiting >= 3 {
				_ = client.Close()
				return
			}
		}
	}
}
