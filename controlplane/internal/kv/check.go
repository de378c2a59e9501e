package kv

import "fmt"

// Check refuses a transaction whose conditions don't hold, for stores that keep the keys themselves; version
// tells a key's, 0 for none.
func Check(operations []Operation, version func(key string) (uint64, error)) error {
	for _, each := range operations {
		if each.Verb != VerbSetAt && each.Verb != VerbCheckAt && each.Verb != VerbDeleteAt {
			continue
		}
		found, err := version(each.Key)
		if err != nil {
			return err
		}
		if found != each.Version {
			return fmt.Errorf("%w (%s)", ErrConflict, each.Key)
		}
	}
	return nil
}
