<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `register_business` answers. Generated: do not edit. */
final class RegisterBusinessResult
{
    /** A sentence for a person. */
    public string $message;
    /** The id of the new business, a UUID. */
    public string $business_id;
    /** The API key of the new business, 64 hexadecimal digits. Store it now. */
    public string $api_key;
    /** The internet domain of the new business. */
    public string $domain;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->message = $answer['message'];
        $result->business_id = $answer['business_id'];
        $result->api_key = $answer['api_key'];
        $result->domain = $answer['domain'];

        return $result;
    }

    /** @return array<string, mixed> what a dump shows: no key */
    public function __debugInfo(): array
    {
        $shown = get_object_vars($this);
        $shown['api_key'] = '(hidden)';

        return $shown;
    }
}
