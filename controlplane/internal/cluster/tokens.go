package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/names"
)

const (
	ownedPrefix  = "rack-"     // of our policies' and tokens' names
	tokensWithin = time.Minute // dozens of calls, to an agent that may be slow
)

// accessorOf derives a token's public id from its secret.
func accessorOf(secret string) string {
	sum := sha256.Sum256([]byte("rack-lab accessor " + secret))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80 // a uuid of version 5
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// EnsureTokens makes consul's policies and tokens with our prefix those of the list. A policy's description is
// the sha256 of its rules, so that two calls tell whether anything is to be done.
func (c *Client) EnsureTokens(ctx context.Context, wanted []config.Token) error {
	ctx, cancel := context.WithTimeout(ctx, tokensWithin)
	defer cancel()
	acl := c.api.ACL()
	policies, _, err := acl.PolicyList(consul.Reading(ctx, false))
	if err != nil {
		return err
	}
	tokens, _, err := acl.TokenList(consul.Reading(ctx, false))
	if err != nil {
		return err
	}
	haveToken, havePolicy := map[string]bool{}, map[string]*api.ACLPolicyListEntry{}
	for _, policy := range policies {
		havePolicy[policy.Name] = policy
	}
	for _, token := range tokens {
		haveToken[token.AccessorID] = true
	}
	keepToken, keepPolicy := map[string]bool{}, map[string]bool{}
	for _, each := range wanted {
		name, accessor := ownedPrefix+each.Name, accessorOf(each.Secret)
		keepPolicy[name], keepToken[accessor] = true, true
		policy := &api.ACLPolicy{Name: name, Description: names.SumOf([]byte(each.Rules)), Rules: each.Rules}
		if present := havePolicy[name]; present == nil {
			_, _, err = acl.PolicyCreate(policy, consul.Writing(ctx))
		} else if present.Description != policy.Description {
			policy.ID = present.ID
			_, _, err = acl.PolicyUpdate(policy, consul.Writing(ctx))
		}
		if err != nil {
			return fmt.Errorf("policy %s: %w", name, err)
		}
		if haveToken[accessor] {
			continue
		}
		_, _, err = acl.TokenCreate(&api.ACLToken{
			AccessorID: accessor, SecretID: each.Secret, Description: name,
			Policies: []*api.ACLLink{{Name: name}},
		}, consul.Writing(ctx))
		if err != nil {
			return fmt.Errorf("token %s: %w", name, err)
		}
	}
	for _, token := range tokens {
		if strings.HasPrefix(token.Description, ownedPrefix) && !keepToken[token.AccessorID] {
			if _, err := acl.TokenDelete(token.AccessorID, consul.Writing(ctx)); err != nil {
				return fmt.Errorf("token %s: %w", token.Description, err)
			}
		}
	}
	for _, policy := range policies {
		if strings.HasPrefix(policy.Name, ownedPrefix) && !keepPolicy[policy.Name] {
			if _, err := acl.PolicyDelete(policy.ID, consul.Writing(ctx)); err != nil {
				return fmt.Errorf("policy %s: %w", policy.Name, err)
			}
		}
	}
	return nil
}
