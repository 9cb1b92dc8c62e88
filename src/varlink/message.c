/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink/message.h"

#include <errno.h>

/* Fractions are shares and loads: six digits say all that is known. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(6))
/* What most messages need. */
#define USUAL_SIZE ((size_t)2 << 10)

/* One key that a message may have. The target that fits its type is set. */
struct key {
        const char *name;
        const char *fault; /* what to say of a value of another type */
        const char **ret_text;
        bool *ret_flag;
        json_t **ret_object; /* null is taken for absent */
};

void varlink_call_done(struct varlink_call *call)
{
        json_decref(call->root);
        *call = (struct varlink_call){0};
}

void varlink_reply_done(struct varlink_reply *reply)
{
        json_decref(reply->root);
        *reply = (struct varlink_reply){0};
}

static bool take(const struct key *key, json_t *value)
{
        if (key->ret_text && json_is_string(value)) {
                *key->ret_text = json_string_value(value);
                return true;
        }
        if (key->ret_flag && json_is_boolean(value)) {
                *key->ret_flag = json_is_true(value);
                return true;
        }
        if (key->ret_object && json_is_object(value)) {
                *key->ret_object = value;
                return true;
        }
        return key->ret_object && json_is_null(value);
}

static const struct key *find_key(const struct key *keys, size_t n_keys, const char *name)
{
        for (size_t i = 0; i < n_keys; i++)
                if (streq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

static int take_all(json_t *root, const struct key *keys, size_t n_keys, const char **ret_fault)
{
        const char *name;
        json_t *value;

        json_object_foreach(root, name, value)
        {
                const struct key *key = find_key(keys, n_keys, name);

                if (key && take(key, value))
                        continue;
                *ret_fault = key ? key->fault : "it has a key that Varlink does not know";
                return -EBADMSG;
        }
        return 0;
}

static const char *describe(enum json_error_code code)
{
        static const struct {
                enum json_error_code code;
                const char *fault;
        } faults[] = {
                {json_error_stack_overflow, "it is nested too deep"},
                {json_error_duplicate_key, "it has a key twice"},
                {json_error_invalid_utf8, "it is not UTF-8"},
                {json_error_numeric_overflow, "it has a number that is too large"},
                {json_error_null_character, "it has a NUL within a string"},
                {json_error_null_byte_in_key, "it has a NUL within a key"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
                if (faults[i].code == code)
                        return faults[i].fault;
        return "it is no JSON object";
}

static int load(const char *text, size_t length, json_t **ret, const char **ret_fault)
{
        json_auto_t *root = NULL;
        json_error_t error;

        root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (!root && json_error_code(&error) == json_error_out_of_memory)
                return -ENOMEM;
        if (!root || !json_is_object(root)) {
                *ret_fault = root ? "it is no JSON object" : describe(json_error_code(&error));
                return -EBADMSG;
        }
        *ret = TAKE_PTR(root);
        return 0;
}

/* Reads an object that has no other keys than KEYS; what they point to lives as long as it does. */
static int parse(const char *text, size_t length, const struct key *keys, size_t n_keys,
                 json_t **ret, const char **ret_fault)
{
        json_auto_t *root = NULL;
        int r;

        r = load(text, length, &root, ret_fault);
        if (r < 0)
                return r;
        r = take_all(root, keys, n_keys, ret_fault);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(root);
        return 0;
}

int varlink_call_parse(const char *text, size_t length, struct varlink_call *ret,
                       const char **ret_fault)
{
        json_auto_t *root = NULL;
        struct varlink_call call = {0};
        const struct key keys[] = {
                {"method", "method is no string", .ret_text = &call.method},
                {"parameters", "parameters is no object", .ret_object = &call.parameters},
                {"more", "more is neither true nor false", .ret_flag = &call.more},
                {"oneway", "oneway is neither true nor false", .ret_flag = &call.oneway},
                {"upgrade", "upgrade is neither true nor false", .ret_flag = &call.upgrade},
        };
        int r;

        r = parse(text, length, keys, ARRAY_SIZE(keys), &root, ret_fault);
        if (r < 0)
                return r;
        if (!call.method) {
                *ret_fault = "it names no method";
                return -EBADMSG;
        }
        if (call.more && call.oneway) {
                *ret_fault = "it wants more replies, and none";
                return -EBADMSG;
        }
        call.root = TAKE_PTR(root);
        *ret = call;
        return 0;
}

int varlink_reply_parse(const char *text, size_t length, struct varlink_reply *ret,
                        const char **ret_fault)
{
        json_auto_t *root = NULL;
        struct varlink_reply reply = {0};
        const struct key keys[] = {
                {"error", "error is no string", .ret_text = &reply.error},
                {"parameters", "parameters is no object", .ret_object = &reply.parameters},
                {"continues", "continues is neither true nor false", .ret_flag = &reply.continues},
        };
        int r;

        r = parse(text, length, keys, ARRAY_SIZE(keys), &root, ret_fault);
        if (r < 0)
                return r;
        if (reply.error && reply.continues) {
                *ret_fault = "it is an error, and more replies follow";
                return -EBADMSG;
        }
        reply.root = TAKE_PTR(root);
        *ret = reply;
        return 0;
}

/* Puts ROOT and a NUL behind what waits to be sent. */
static int put(struct varlink_stream *stream, const json_t *root)
{
        size_t size = USUAL_SIZE, length;
        char *room;
        int r;

        r = varlink_stream_reserve(stream, size, &room);
        if (r < 0)
                size = 0; /* there may be room enough for what it really needs */
        length = json_dumpb(root, size > 0 ? room : NULL, size, DUMP_FLAGS);
        if (length == 0)
                return -ENOMEM;
        if (length >= size) {
                size = length + 1;
                r = varlink_stream_reserve(stream, size, &room);
                if (r < 0)
                        return r;
                if (json_dumpb(root, room, size, DUMP_FLAGS) != length)
                        return -ENOMEM;
        }
        room[length] = '\0';
        varlink_stream_commit(stream, length + 1);
        return 0;
}

/* Sets a key of ROOT to VALUE, whose reference it takes. Returns whether it could: also where ROOT
 * or VALUE is NULL it could not. */
static bool set(json_t *root, const char *name, json_t *value)
{
        return json_object_set_new(root, name, value) == 0;
}

int varlink_call_put(struct varlink_stream *stream, const struct varlink_call *call)
{
        json_auto_t *root = json_object();

        if (!set(root, "method", json_string(call->method)) ||
            (call->parameters && !set(root, "parameters", json_incref(call->parameters))) ||
            (call->more && !set(root, "more", json_true())) ||
            (call->oneway && !set(root, "oneway", json_true())) ||
            (call->upgrade && !set(root, "upgrade", json_true())))
                return -ENOMEM;
        return put(stream, root);
}

int varlink_reply_put(struct varlink_stream *stream, const struct varlink_reply *reply)
{
        json_auto_t *root = json_object();

        if ((reply->error && !set(root, "error", json_string(reply->error))) ||
            !set(root, "parameters",
                 reply->parameters ? json_incref(reply->parameters) : json_object()) ||
            (reply->continues && !set(root, "continues", json_true())))
                return -ENOMEM;
        return put(stream, root);
}
