"""The contract between Python and a Lua script: named, typed arguments and a named, typed reply.

The header of a script declares both. From the header this package writes the Lua that gives each
argument its name and the reply its order, and encodes and decodes the same values in Python. So the
order of arguments stands in one place, the header. A client in another language follows it:

    --- ARGV
    ---   host       string    its name                     ARGV[1]
    ---   limit      integer?  how many; all if not given   ARGV[2], '' for none
    ---   members    strings   jobs of the group            the count, then each
    ---   shares     rows      what each server uses        the count of rows, then of each row:
    ---     server   string    its name                       its name
    ---     used     amounts   resource to amount             the count of pairs, name, amount, ...

Arguments follow each other in the order declared, scalars before collections. The types:

| type       | as an argument                   | in a reply             | in Lua           |
|------------|----------------------------------|------------------------|------------------|
| `string`   | the text                         | the text               | string           |
| `integer`  | decimal digits                   | an integer             | number           |
| `decimal`  | decimal digits                   | decimal digits         | the same string  |
| `flag`     | `1`, or the empty text           | 1 or 0                 | boolean          |
| `strings`  | count, then each                 | an array               | array            |
| `integers` | count, then each                 | an array               | array of numbers |
| `fields`   | count of pairs, name, value, ... | an array: name, value  | the same array   |
| `amounts`  | count of pairs, name, value, ... | (not used)             | name to number   |
| `rows`     | count, then each row's members   | an array of arrays     | array of tables  |

`?` after `string`, `integer` or `decimal` allows none: the empty text, nil in Lua, None in Python.
A script that writes and goes by the type's clock takes one more argument at the end, which may be
left out: the type's time as the caller believes it is, ms. Where that is wrong by over two seconds,
the script writes nothing and answers CLOCK_IN_DOUBT.

A script whose header has a line `Audit` takes three more behind that, which may be left out
together: who makes the change, its address, and the ID of its HTTP request; '' for what there is
not. With them it writes a line in the audit log (lua/lib/audit_log.lua). Where it takes a time too,
the empty text stands for none.

A reply is an array of the values under `Returns`, in the order declared; nil for `Returns none`.
"""
