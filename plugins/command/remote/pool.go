package remote

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/singleflight"
)

// sshd allows ten sessions on one connection unless it is told otherwise.
const sessionsPerConnection = 8

// shared are the connections of this process. A handshake costs seconds on an emulated
// machine, so all resources that name the same connection use one.
var shared = &pool{open: map[string][]*slots{}}

type pool struct {
	lock    sync.Mutex
	open    map[string][]*slots
	dialing singleflight.Group
}

// slots is one connection and how many sessions it carries.
type slots struct {
	client *ssh.Client
	used   int
}

// get returns a connection to make channels with that are no sessions.
func (p *pool) get(ctx context.Context, c Connection) (*ssh.Client, error) {
	found, err := p.take(ctx, c, 0)
	if err != nil {
		return nil, err
	}
	return found.client, nil
}

// session opens a session; `done` must be called at its end. A connection that turns out to
// be broken is replaced once: nothing was run on it yet.
func (p *pool) session(ctx context.Context, c Connection) (session *ssh.Session, done func(), err error) {
	err = p.with(ctx, c, func(client *ssh.Client) error {
		session, err = client.NewSession()
		return err
	}, &done)
	return session, done, err
}

// with calls `use` with a connection that has room for a session, and with a new one if
// the first turned out to be broken. `done` gives the room back.
func (p *pool) with(ctx context.Context, c Connection, use func(*ssh.Client) error, done *func()) error {
	for attempt := 0; ; attempt++ {
		found, err := p.take(ctx, c, 1)
		if err != nil {
			return err
		}
		err = use(found.client)
		if err == nil {
			*done = func() { p.give(found) }
			return nil
		}
		p.give(found)
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) || attempt > 0 {
			return err
		}
		p.drop(c, found)
	}
}

// take finds a connection with room for `sessions` more, or makes one. Those who want the
// same one at the same time wait for one attempt, and share its failure.
func (p *pool) take(ctx context.Context, c Connection, sessions int) (*slots, error) {
	key, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	for {
		if found := p.find(string(key), sessions); found != nil {
			return found, nil
		}
		_, err, _ := p.dialing.Do(string(key), func() (any, error) {
			client, err := c.dial(ctx)
			if err == nil {
				p.add(string(key), client)
			}
			return nil, err
		})
		if err != nil {
			return nil, err
		}
	}
}

func (p *pool) find(key string, sessions int) *slots {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, one := range p.open[key] {
		if one.used+sessions <= sessionsPerConnection {
			one.used += sessions
			return one
		}
	}
	return nil
}

// add keeps a new connection for as long as it lasts.
func (p *pool) add(key string, client *ssh.Client) {
	one := &slots{client: client}
	p.lock.Lock()
	p.open[key] = append(p.open[key], one)
	p.lock.Unlock()
	go func() {
		_ = client.Wait()
		p.remove(key, one)
	}()
}

func (p *pool) give(one *slots) {
	p.lock.Lock()
	defer p.lock.Unlock()
	one.used--
}

func (p *pool) drop(c Connection, one *slots) {
	if key, err := json.Marshal(c); err == nil {
		p.remove(string(key), one)
	}
	if err := one.client.Close(); err != nil && !errors.Is(err, io.EOF) {
		return // it was closed already, which is what is wanted
	}
}

func (p *pool) remove(key string, one *slots) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.open[key] = slices.DeleteFunc(p.open[key], func(other *slots) bool { return other == one })
}
