package provider

import (
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strings"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// The namespace of <rack:owner>STACK</rack:owner>, which the program's stylesheets put into
// the <metadata> of what they make.
const ownerNamespace = "urn:rack-lab"

// clearRemnant removes what a killed `up` left under the name of what is to be created. It
// is told by its owner, so what belongs to somebody else is refused, not touched.
func clearRemnant(kind string, d *schema.ResourceData, l *rpc.Libvirt) error {
	name, owner := d.Get("name").(string), ownerIn(stylesheet(d))
	switch kind {
	case "libvirt_domain":
		return clearDomain(l, name, owner)
	case "libvirt_network":
		return clearNetwork(l, name, owner)
	case "libvirt_pool":
		return clearPool(l, name, d)
	}
	return nil
}

func clearDomain(l *rpc.Libvirt, name, owner string) error {
	domain, err := l.DomainLookupByName(name)
	if err != nil {
		return unless(rpc.ErrNoDomain, err)
	}
	description, err := l.DomainGetXMLDesc(domain, 0)
	if err != nil {
		return err
	}
	if err := mayRemove("domain", name, owner, description); err != nil {
		return err
	}
	if active, err := l.DomainIsActive(domain); err != nil {
		return err
	} else if active == 1 {
		if err := l.DomainDestroy(domain); err != nil {
			return err
		}
	}
	return l.DomainUndefineFlags(domain, rpc.DomainUndefineNvram|rpc.DomainUndefineManagedSave|
		rpc.DomainUndefineSnapshotsMetadata|rpc.DomainUndefineCheckpointsMetadata)
}

func clearNetwork(l *rpc.Libvirt, name, owner string) error {
	network, err := l.NetworkLookupByName(name)
	if err != nil {
		return unless(rpc.ErrNoNetwork, err)
	}
	description, err := l.NetworkGetXMLDesc(network, 0)
	if err != nil {
		return err
	}
	if err := mayRemove("network", name, owner, description); err != nil {
		return err
	}
	if active, err := l.NetworkIsActive(network); err != nil {
		return err
	} else if active == 1 {
		if err := l.NetworkDestroy(network); err != nil {
			return err
		}
	}
	return l.NetworkUndefine(network)
}

var poolPath = regexp.MustCompile(`<path>([^<]*)</path>`)

// clearPool forgets a pool of folders with the same name and folder; its volumes stay. Pools
// have no metadata to tell an owner by, so another folder is left for the provider to refuse.
func clearPool(l *rpc.Libvirt, name string, d *schema.ResourceData) error {
	pool, err := l.StoragePoolLookupByName(name)
	if err != nil {
		return unless(rpc.ErrNoStoragePool, err)
	}
	description, err := l.StoragePoolGetXMLDesc(pool, 0)
	if err != nil {
		return err
	}
	wanted, _ := d.Get("target.0.path").(string)
	if wanted == "" {
		wanted = d.Get("path").(string)
	}
	found := poolPath.FindStringSubmatch(description)
	if d.Get("type").(string) != "dir" || found == nil || found[1] != wanted {
		return nil
	}
	if active, err := l.StoragePoolIsActive(pool); err != nil {
		return err
	} else if active == 1 {
		if err := l.StoragePoolDestroy(pool); err != nil { // which only stops it
			return err
		}
	}
	return l.StoragePoolUndefine(pool)
}

func mayRemove(kind, name, owner, description string) error {
	switch found := ownerIn(description); {
	case found == "":
		return fmt.Errorf("there is a %s %q already, and it carries no owner tag: rename it or remove it by hand",
			kind, name)
	case found != owner:
		return fmt.Errorf("there is a %s %q already, and it belongs to %q, not to %q: rename one, or remove that one",
			kind, name, found, owner)
	}
	return nil
}

func stylesheet(d *schema.ResourceData) string {
	text, _ := d.Get("xml.0.xslt").(string)
	return text
}

// ownerIn is the text of the owner element in a stylesheet or in libvirt's description, or "".
func ownerIn(document string) string {
	decoder := xml.NewDecoder(strings.NewReader(document))
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Space != ownerNamespace || element.Name.Local != "owner" {
			continue
		}
		var text string
		if decoder.DecodeElement(&text, &element) != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
}

// gone tells whether a domain or network is missing already, which is what a delete wants.
// The provider takes it for an error; for pools and volumes it does not.
func gone(kind, id string, l *rpc.Libvirt) bool {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return false
	}
	switch kind {
	case "libvirt_domain":
		_, err = l.DomainLookupByUUID(rpc.UUID(parsed))
		return err != nil && unless(rpc.ErrNoDomain, err) == nil
	case "libvirt_network":
		_, err = l.NetworkLookupByUUID(rpc.UUID(parsed))
		return err != nil && unless(rpc.ErrNoNetwork, err) == nil
	}
	return false
}

func unless(code rpc.ErrorNumber, err error) error {
	var known rpc.Error
	if errors.As(err, &known) && known.Code == uint32(code) {
		return nil
	}
	return err
}
